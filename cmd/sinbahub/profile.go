//go:build profile

package main

import (
	"os"
	"runtime/pprof"
	"strconv"
)

// startProfile writes a CPU profile of this process to SINBAHUB_TEST_PROFILE.PID, until stop is
// called. Only binaries built for measuring have it: a profile of a running hub is nobody's business.
func startProfile() (stop func()) {
	path := os.Getenv("SINBAHUB_TEST_PROFILE")
	if path == "" {
		return func() {}
	}
	file, err := os.Create(path + "." + strconv.Itoa(os.Getpid()))
	if err != nil {
		return func() {}
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	}
}
