//go:build smoke

package hubtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestSmokeClients generates clients from the served WSDL with five common stacks, and lets each
// run the same program and send the same histories in both SOAP versions.
func TestSmokeClients(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	for _, stack := range []stack{zeepStack(), nodeStack(), phpStack(), gsoapStack(), jaxwsStack()} {
		runStack(t, h, stack, func(t *testing.T, built programs, version string) {
			t.Helper()
			sendHistories(t, stack, built.history, version)
		})
	}
}

func phpStack() stack {
	return stack{name: "php", build: func(*testing.T, string, string, string) programs {
		return programs{
			steps:   []string{"php", clientFile("php", "client.php")},
			history: []string{"php", clientFile("php", "history.php")},
		}
	}}
}

// gsoapStack compiles a client of one version: it is soapcpp2 that decides.
func gsoapStack() stack {
	return stack{name: "gsoap", typed: true, coarse: true, single: true, build: func(t *testing.T, dir, wsdl, version string) programs {
		t.Helper()
		option := map[string]string{"SOAP11": "-1", "SOAP12": "-2"}[version]
		runTool(t, dir, "wsdl2h", "-Nsinba", "-o", "sinba.h", wsdl)
		runTool(t, dir, "soapcpp2", option, "-j", "-CL", "-w", "-x", "sinba.h")
		sources := clientFile("gsoap", "")
		runTool(t, dir, "c++", "-Wall", "-I", ".", "-I", sources, "-o", "client",
			filepath.Join(sources, "client.cpp"), filepath.Join(sources, "event.cpp"), filepath.Join(sources, "history.cpp"), "soapC.cpp",
			"soapSinbaEventiSoap11Proxy.cpp", "soapSinbaEventiSoap12Proxy.cpp", "-lgsoap++")
		program := []string{filepath.Join(dir, "client")}
		return programs{steps: program, history: program}
	}}
}

func jaxwsStack() stack {
	return stack{name: "jaxws", typed: true, build: func(t *testing.T, dir, wsdl, _ string) programs {
		t.Helper()
		// Debian's jar names the others it needs.
		const runtime = "/usr/share/java/jaxws-rt.jar"
		generated, classes := filepath.Join(dir, "generated"), filepath.Join(dir, "classes")
		for _, folder := range []string{generated, classes} {
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		runTool(t, dir, "wsimport", "-extension", "-Xnocompile", "-s", generated, wsdl)
		made, err := filepath.Glob(filepath.Join(generated, "sinba", "eventi", "v1", "*.java"))
		if err != nil || len(made) == 0 {
			t.Fatalf("wsimport made nothing: %v", err)
		}
		own, err := filepath.Glob(clientFile("jaxws", "*.java"))
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"-nowarn", "-encoding", "UTF-8", "-cp", runtime, "-d", classes}
		runTool(t, dir, "javac", slices.Concat(args, made, own)...)
		java := []string{"java", "-cp", runtime + ":" + classes}
		return programs{steps: append(slices.Clone(java), "Client"), history: append(slices.Clone(java), "History")}
	}}
}
