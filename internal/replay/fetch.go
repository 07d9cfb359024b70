package replay

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// hexDigest is a digest as people compare it.
func hexDigest(d [32]byte) string { return hex.EncodeToString(d[:]) }

// fetch brings all that the replay of some entries needs: their events, the subjects' secrets, and
// from the opener what is sealed. Entries that are not meant (another ente's) are left out.
func (p *Parts) fetch(ctx context.Context, rows []postgres.JournalRow, ente int32) ([]*job, error) {
	jobs := make([]*job, 0, len(rows))
	messages := make([]uuid.UUID, 0, len(rows))
	seen := map[uuid.UUID]bool{}
	for _, row := range rows {
		j := &job{row: row}
		entry, err := journal.Parse(row.Body)
		j.entry, j.unreadable = entry, err != nil
		if ente != 0 && !j.unreadable && entry.Ente != ente {
			continue
		}
		jobs = append(jobs, j)
		if !seen[row.Message] {
			seen[row.Message] = true
			messages = append(messages, row.Message)
		}
	}
	stored, err := p.Store.StoredEvents(ctx, messages)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		j.stored = stored[j.row.Message]
	}
	if err := p.addSecrets(ctx, jobs); err != nil {
		return nil, err
	}
	return jobs, p.open(ctx, jobs)
}

// addSecrets gives each job its subject's secret.
func (p *Parts) addSecrets(ctx context.Context, jobs []*job) error {
	var subjects []uuid.UUID
	seen := map[uuid.UUID]int{}
	for _, j := range jobs {
		if j.stored == nil {
			continue
		}
		if _, ok := seen[j.stored.Subject]; !ok {
			seen[j.stored.Subject] = len(subjects)
			subjects = append(subjects, j.stored.Subject)
		}
	}
	if len(subjects) == 0 {
		return nil
	}
	secrets, err := p.Vault.SecretsOf(ctx, subjects)
	if err != nil {
		return err
	}
	var without []uuid.UUID
	for at, subject := range subjects {
		if secrets[at].IsZero() {
			without = append(without, subject)
		}
	}
	certificates, err := p.Store.ErasureCertificates(ctx, without)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.stored == nil {
			continue
		}
		j.secret = secrets[seen[j.stored.Subject]]
		if c, ok := certificates[j.stored.Subject]; ok && orders(&c, j.stored.Environment, j.stored.ReceivedAt) {
			j.erasure = &c.Entry.ID
		}
	}
	return nil
}

// eraseRace is for how long after the vault forgot a child an acceptance may end that found it just before.
const eraseRace = 10 * time.Minute

// orders tells whether a certificate accounts for an event whose subject has no secret: it is of its kind and
// environment, no more subjects rest on it than it says, and the event came while the child was known.
func orders(c *postgres.ErasureCertificate, env hub.Environment, received time.Time) bool {
	e := &c.Entry
	var said int64
	for _, code := range e.Codes {
		if text, ok := strings.CutPrefix(string(code), "subjects:"); ok {
			said, _ = strconv.ParseInt(text, 10, 64) // none, if it is no number
		}
	}
	return e.Kind == journal.SubjectErased && e.Environment == env && c.Subjects <= said && !received.After(c.Forgotten.Add(eraseRace))
}

// open has the opener open the messages of acceptances and their origins, in one call. It is not asked
// for what nobody can open any more.
func (p *Parts) open(ctx context.Context, jobs []*job) error {
	var asked []Sealed
	var into []*Opened
	for _, j := range jobs {
		if j.row.Kind != journal.EventAccepted || j.unreadable || j.stored == nil || len(j.stored.Sealed) == 0 || j.secret.IsZero() {
			continue
		}
		asked, into = append(asked, Sealed{Message: j.row.Message}), append(into, &j.plain)
		if len(j.entry.Origin) > 0 {
			asked, into = append(asked, Sealed{Message: j.row.Message, Origin: j.entry.Origin}), append(into, &j.origin)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	opened, err := p.Opener.Open(ctx, asked)
	if err != nil {
		return err
	}
	for i := range into {
		*into[i] = opened[i]
	}
	return nil
}
