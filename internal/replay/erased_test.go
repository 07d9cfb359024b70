package replay_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/replay"
)

// TestOnlyACertificateAccountsForALostSecret tries what whoever writes rows would lay under a secret that is gone.
func TestOnlyACertificateAccountsForALostSecret(t *testing.T) {
	t.Parallel()
	forgotten := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*postgres.ErasureCertificate)
		env    hub.Environment
		after  time.Duration
		want   bool
	}{
		"an event of before":                     {nil, hub.Prod, -time.Hour, true},
		"one that was under way":                 {nil, hub.Prod, time.Minute, true},
		"one of later":                           {nil, hub.Prod, time.Hour, false},
		"another environment":                    {nil, hub.Test, -time.Hour, false},
		"an entry of another kind":               {func(c *postgres.ErasureCertificate) { c.Entry.Kind = journal.SubjectLooked }, hub.Prod, -time.Hour, false},
		"fewer subjects than it says":            {func(c *postgres.ErasureCertificate) { c.Subjects = 1 }, hub.Prod, -time.Hour, true},
		"more subjects than it says":             {func(c *postgres.ErasureCertificate) { c.Subjects = 3 }, hub.Prod, -time.Hour, false},
		"an entry that does not say of how many": {func(c *postgres.ErasureCertificate) { c.Entry.Codes = nil }, hub.Prod, -time.Hour, false},
	} {
		certificate := postgres.ErasureCertificate{
			Entry:     journal.Entry{Kind: journal.SubjectErased, Environment: hub.Prod, Codes: []hub.Code{"subjects:2", "cases:3"}},
			Forgotten: forgotten, Subjects: 2,
		}
		if c.change != nil {
			c.change(&certificate)
		}
		if got := replay.Orders(&certificate, c.env, forgotten.Add(c.after)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestReportCountsErasuresByTheirOrder holds what is told of erased children against the items.
func TestReportCountsErasuresByTheirOrder(t *testing.T) {
	t.Parallel()
	one, other := uuid.New(), uuid.New()
	var first, second, sum replay.Report
	first.Note(&replay.Item{Status: replay.Erased, Erasure: &one})
	second.Note(&replay.Item{Status: replay.Erased, Erasure: &other})
	second.Note(&replay.Item{Status: replay.Erased, Erasure: &one})
	second.Note(&replay.Item{Status: replay.Lost})
	sum.Add(&first)
	sum.Add(&second)
	want := []replay.Erasure{{Entry: one, Entries: 2}, {Entry: other, Entries: 1}}
	if diff := cmp.Diff(want, sum.Erasures); diff != "" {
		t.Error(diff)
	}
}
