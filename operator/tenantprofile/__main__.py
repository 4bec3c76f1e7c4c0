"""`python -m tenantprofile` is the command `tenantprofile`."""

from tenantprofile.cli.main import main

main(prog_name="tenantprofile")
