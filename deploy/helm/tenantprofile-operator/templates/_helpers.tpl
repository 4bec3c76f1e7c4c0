{{/* The image by digest where there is one, otherwise by tag. */}}
{{- define "tenantprofile.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}{{ with .Values.image.tag }}:{{ . }}{{ end }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end -}}
{{- end -}}

{{- define "tenantprofile.selectorLabels" -}}
app.kubernetes.io/name: tenantprofile-operator
{{- end -}}

{{/* Labels that Helm adds to those of deploy/base. */}}
{{- define "tenantprofile.releaseLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tenantprofile.labels" -}}
{{ include "tenantprofile.selectorLabels" . }}
app.kubernetes.io/part-of: tenantprofile
{{ include "tenantprofile.releaseLabels" . }}
{{- end -}}

{{/* A file of the repository as it is, in the release's namespace and with the release's labels.
     Takes a list of the root context and the file's text. */}}
{{- define "tenantprofile.manifest" -}}
{{- $root := index . 0 -}}
{{- range $document := regexSplit "(?m)^---$" (index . 1) -1 }}
{{- $object := $document | replace "tenantprofile-system" $root.Release.Namespace | fromYaml }}
{{- if $object.kind }}
{{- if not (has $object.kind (list "Kustomization" "Component")) }}
{{- $more := include "tenantprofile.releaseLabels" $root | fromYaml }}
{{- $_ := set $object.metadata "labels" (merge $more ($object.metadata.labels | default dict)) }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* How a monitor scrapes with metrics.secure. */}}
{{- define "tenantprofile.secureEndpoint" -}}
scheme: https
authorization:
  credentials:
    name: tenantprofile-metrics-reader
    key: token
tlsConfig:
  serverName: tenantprofile-operator-metrics.{{ .Release.Namespace }}.svc
  ca:
    secret:
      name: {{ .Values.metrics.secure.certificateSecret }}
      key: ca.crt
{{- end -}}
