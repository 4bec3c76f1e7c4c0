// Command enforcement enforces the NetworkPolicies of a cluster with iptables
// and ipset, in the network namespace in which it is started. It is
// kube-router's network policy controller and nothing else of kube-router: no
// routing, no service proxy.
//
// The API server is reached from the network namespace that -api-netns names,
// so that the node of a test needs no connection to the machine around it.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/cloudnativelabs/kube-router/v2/pkg/svcip"
	"github.com/vishvananda/netns"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	klog.InitFlags(nil)
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server (get, list, watch is enough)")
	node := flag.String("node", "", "name of the Node object whose pods are protected here")
	apiNetns := flag.String("api-netns", "", "network namespace in which the API server listens")
	flag.Parse()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(stop, *kubeconfig, *node, *apiNetns); err != nil {
		fmt.Fprintln(os.Stderr, "enforcement:", err)
		os.Exit(1)
	}
}

func run(stop context.Context, kubeconfig, node, apiNetns string) error {
	connection, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	connection.QPS, connection.Burst = 100, 100
	if apiNetns != "" {
		connection.Dial = dialFrom(apiNetns)
	}
	client, err := kubernetes.NewForConfig(connection)
	if err != nil {
		return err
	}
	config := options.NewKubeRouterConfig()
	config.EnableIPv4, config.EnableIPv6 = true, true
	config.HostnameOverride = node
	// Service addresses that no pod of the test world has.
	config.ClusterIPCIDRs = []string{"10.96.0.0/16", "fd00:10:96::/112"}

	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	factory.Start(stop.Done())
	for kind, synced := range factory.WaitForCacheSync(stop.Done()) {
		if !synced {
			return fmt.Errorf("cannot list %v", kind)
		}
	}

	ranges, err := svcip.NewValidator(svcip.Config{
		ClusterIPCIDRs: config.ClusterIPCIDRs, EnableIPv4: true, EnableIPv6: true,
	})
	if err != nil {
		return err
	}
	tables, sets, err := netpol.NewIPTablesHandlers(config)
	if err != nil {
		return err
	}
	controller, err := netpol.NewNetworkPolicyController(
		client, config, pods, policies, namespaces, &sync.Mutex{}, nil, tables, sets, ranges)
	if err != nil {
		return err
	}
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods:       controller.PodEventHandler,
		namespaces: controller.NamespaceEventHandler,
		policies:   controller.NetworkPolicyEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}

	// The controller blocks when nobody reads its heartbeats.
	heartbeats := make(chan *healthcheck.ControllerHeartbeat, 10)
	go func() {
		for range heartbeats {
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	controller.Run(heartbeats, stop.Done(), &running)
	return nil
}

// dialFrom opens connections in another network namespace. A socket stays in
// the namespace in which it was made; the thread goes back to its own.
func dialFrom(path string) func(context.Context, string, string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		// Not unlocked on errors: Go then ends the thread instead of using it again.
		runtime.LockOSThread()
		own, err := netns.Get()
		if err != nil {
			return nil, err
		}
		defer own.Close()
		other, err := netns.GetFromPath(path)
		if err != nil {
			return nil, err
		}
		defer other.Close()
		if err := netns.Set(other); err != nil {
			return nil, err
		}
		connection, failure := dialer.DialContext(ctx, network, address)
		if err := netns.Set(own); err != nil {
			return nil, err
		}
		runtime.UnlockOSThread()
		return connection, failure
	}
}
