//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// unpackable is what is left of random bytes by a compressor: frames and blocks cost it something, and two
// sealed texts have nothing in common.
const unpackable = 0.995

// checkSealed wants every column of sealed bytes to be incompressible, whatever it is called by its
// table: each value by itself, without the header that says what it is, and all of them together.
func (c *canary) checkSealed() {
	c.t.Helper()
	for _, l := range c.findCompressible() {
		c.t.Errorf("%s: %s", l.place, l.mark)
	}
}

// findCompressible gives the columns of sealed bytes that a compressor finds sense in. New ones are found by
// their name.
func (c *canary) findCompressible() []leak {
	c.t.Helper()
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
	if err != nil {
		c.t.Fatal(err)
	}
	var leaks []leak
	var seen []string
	for _, column := range c.columns() {
		if column.Type != "bytea" || !strings.HasPrefix(column.Name, "sealed") && column.Name != "secret" {
			continue
		}
		var all bytes.Buffer
		for _, cell := range c.cells(column) {
			if header, err := pseudonym.ParseHeader(cell); err == nil {
				cell = cell[4+len(header.Schema)+32:] // internal/pseudonym/envelope.go
			}
			all.Write(cell)
			if len(cell) > 2000 && float64(len(packer.EncodeAll(cell, nil))) < unpackable*float64(len(cell)) {
				leaks = append(leaks, leak{place: column.String(), mark: "a value can be compressed"})
			}
		}
		if all.Len() == 0 {
			continue
		}
		seen = append(seen, strings.TrimRight(column.String(), "_0123456789"))
		if size := len(packer.EncodeAll(all.Bytes(), nil)); all.Len() > 2000 && float64(size) < unpackable*float64(all.Len()) {
			leaks = append(leaks, leak{place: column.String(), mark: "values can be compressed together"})
		}
	}
	for _, want := range []string{"hub.case_file.sealed_ids", "vault.subject_link.sealed_identity", "vault.epoch_key.sealed_key", "vault.subject.secret"} {
		if !slices.Contains(seen, want) {
			c.t.Errorf("nothing sealed stands in %s", want)
		}
	}
	return leaks
}
