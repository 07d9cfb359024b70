//go:build !profile

package main

// startProfile does nothing: only binaries built with the tag "profile" can be profiled.
func startProfile() (stop func()) { return func() {} }
