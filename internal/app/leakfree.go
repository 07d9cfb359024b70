//go:build !leak

package app

import "net/http"

// plantRoad and plantDoor do nothing: only binaries built with the tag leak, which the canary suite makes
// to see that it finds what they let out, have something there (leak.go).
func (*server) plantRoad() {}

func (*server) plantDoor(*http.Server) {}

// plantFile does nothing either.
func plantFile(string) error { return nil }

// plantedEnvironment has no more to hand to the demo's processes.
func plantedEnvironment() []string { return nil }
