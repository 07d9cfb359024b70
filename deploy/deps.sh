#!/bin/sh
# Installs what is missing to build, test and run the hub on Debian 12. It looks for the things
# themselves, not for packages, so that on another system they may come from anywhere.
#
#   deploy/deps.sh          compiler, libxml2, PostgreSQL
#   deploy/deps.sh clients  besides, the SOAP clients of the end-to-end tests
#   deploy/deps.sh stacks   besides the first, strace and the SOAP stacks that only `make clients` has
set -eu

missing=""
need() { # need PACKAGE COMMAND...: PACKAGE is missing unless COMMAND succeeds
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
postgres_found() { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; }

need gcc sh -c 'command -v cc'
need libc6-dev sh -c 'echo "#include <stdlib.h>" | cc -E -'
need pkg-config sh -c 'command -v pkg-config'
need libxml2-dev pkg-config --exists libxml-2.0
need postgresql postgres_found
if [ "${1:-}" = clients ]; then
	need python3-zeep /usr/bin/python3 -c 'import zeep'
	need nodejs sh -c 'command -v node'
	need npm sh -c 'command -v npm'
fi
if [ "${1:-}" = stacks ]; then
	need libxml2-utils sh -c 'command -v xmllint'
	need strace sh -c 'command -v strace'
	need php-cli sh -c 'command -v php'
	need php-soap php -r 'exit(class_exists("SoapClient") ? 0 : 1);'
	need gsoap sh -c 'command -v wsdl2h && command -v soapcpp2'
	need g++ sh -c 'command -v c++'
	need libgsoap-dev sh -c 'echo "#include <stdsoap2.h>" | cc -E -x c++ -'
	need jaxws sh -c 'command -v wsimport && ls /usr/share/java/jaxws-rt.jar'
	need default-jdk-headless sh -c 'command -v javac'
fi
[ -n "$missing" ] || exit 0

cannot() {
	echo "Missing:$missing" >&2
	echo "They could not be installed here: $1" >&2
	echo "On Debian 12, as root:  apt-get update && apt-get install --no-install-recommends$missing" >&2
	exit 1
}
command -v apt-get >/dev/null 2>&1 || cannot "this is no Debian (no apt-get); install what corresponds to these Debian packages."
as_root=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null || cannot "not root, and no sudo without a password."
	as_root="sudo"
fi
echo "Installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive sh -ec '
	apt-get -q -o DPkg::Lock::Timeout=300 update
	apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
' sh $missing >"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	cannot "apt-get failed, see above."
}
