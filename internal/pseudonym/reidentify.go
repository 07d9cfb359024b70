package pseudonym

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// CodeKeys make the codes of subjects and nothing else: what the opener needs to find the subject of a
// pseudonym. There is no table from pseudonyms to subjects that could be stolen. They print as a
// placeholder.
type CodeKeys struct{ codes map[codeKey]macKey }

// LoadCodeKeys reads the keys of codes of one environment from the folder that InitKeys made, or from a
// copy of those files alone, with the same refusals as LoadKeys. ErrNoKeys if there are none.
func LoadCodeKeys(dir string, env hub.Environment) (*CodeKeys, error) {
	if !validEnvironment(env) {
		return nil, errEnvironment
	}
	names, err := keyFiles(dir)
	if err != nil {
		return nil, err
	}
	k := &CodeKeys{codes: map[codeKey]macKey{}}
	for _, name := range names {
		id, ok := parseKeyName(name)
		if !ok || id.purpose != PurposeCode {
			continue
		}
		id.environment = env
		path := filepath.Join(dir, name)
		file, err := readKeyFile(path, id)
		if err != nil {
			return nil, err
		}
		if k.codes[codeKey{id.domain, id.epoch}], err = file.mac(path); err != nil {
			return nil, err
		}
	}
	if len(k.codes) == 0 {
		return nil, ErrNoKeys
	}
	return k, nil
}

// Format prints a placeholder for every verb and flag.
func (*CodeKeys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a placeholder, which also covers JSON.
func (*CodeKeys) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// of are the makers of a domain's codes, one for each epoch.
func (k *CodeKeys) of(d Domain) (all []macKey) {
	for _, id := range slices.SortedFunc(maps.Keys(k.codes), func(a, b codeKey) int { return int(b.epoch - a.epoch) }) {
		if id.domain == d {
			all = append(all, k.codes[id])
		}
	}
	return all
}

const subjectPageSQL = `
SELECT id
FROM vault.subject
WHERE environment = $1 AND id > $2
ORDER BY id
LIMIT $3`

// subjectPage is how many subjects are looked through at a time.
const subjectPage = 10_000

// SubjectOf finds the subject that has a code of a domain, in any epoch whose key there is: it makes the
// codes of one subject after the other until one is the code asked for, about three seconds for a million
// (BenchmarkSubjectOf, two busy cores). ok is false if none has it, as after an erasure.
func (v *OpenerVault) SubjectOf(ctx context.Context, keys *CodeKeys, d Domain, code string) (subject uuid.UUID, ok bool, err error) {
	makers := keys.of(d)
	if len(makers) == 0 {
		return uuid.Nil, false, ErrUnknownEpoch
	}
	for {
		page, err := v.subjectsAfter(ctx, subject)
		if err != nil || len(page) == 0 {
			return uuid.Nil, false, err
		}
		for _, id := range page {
			for _, key := range makers {
				made := Codes{domain: d, key: key, subject: id}.Pseudonym()
				if subtle.ConstantTimeCompare([]byte(made), []byte(code)) == 1 {
					return id, true, nil
				}
			}
		}
		subject = page[len(page)-1]
	}
}

func (v *OpenerVault) subjectsAfter(ctx context.Context, after uuid.UUID) ([]uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, subjectPageSQL, v.environment.String(), [16]byte(after), subjectPage)
	if err != nil {
		return nil, unavailable(err)
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id uuid.UUID, err error) {
		err = row.Scan((*[16]byte)(&id))
		return id, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return page, nil
}

const identitiesSQL = `
SELECT sealed_identity
FROM vault.subject_link
WHERE subject_id = $1`

// SealedIdentities gives the sealed identities of a subject, whose label is the subject's id.
func (v *OpenerVault) SealedIdentities(ctx context.Context, subject uuid.UUID) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, identitiesSQL, [16]byte(subject))
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

// errIdentity says that bytes are not those of an identity.
var errIdentity = errors.New("vault: not the bytes of an identity")

// ParseIdentity reads what Identity.Bytes wrote.
func ParseIdentity(b []byte) (Identity, error) {
	kind, rest, ok := bytes.Cut(b, []byte(separator))
	if !ok || len(kind) == 0 {
		return Identity{}, errIdentity
	}
	if string(kind) != localKind {
		return Identity{kind: string(kind), value: hub.NewIdentifier(string(rest))}, nil
	}
	var parts [2]string
	for i := range parts {
		if len(rest) < 4 {
			return Identity{}, errIdentity
		}
		size := int64(binary.BigEndian.Uint32(rest))
		if size > int64(len(rest)-4) {
			return Identity{}, errIdentity
		}
		parts[i], rest = string(rest[4:4+size]), rest[4+size:]
	}
	if len(rest) > 0 {
		return Identity{}, errIdentity
	}
	return NewLocalIdentity(parts[0], hub.NewIdentifier(parts[1])), nil
}

// Kind is CF, CFP, STP, ENI or NI; Ente is the code of the ente that knows an NI, else empty; Value is the
// identifier.
func (i Identity) Kind() string { return i.kind }

// Ente is as Kind says.
func (i Identity) Ente() string { return i.ente }

// Value is as Kind says.
func (i Identity) Value() hub.Identifier { return i.value }

// ParseOpenerKeys reads the opener's keys from the output of a program: the documents that its key files hold,
// one after the other, of the pair's private halves at least one, and of the link index those under which
// identities are indexed anew. Nothing of the text is in an error.
func ParseOpenerKeys(text []byte, env hub.Environment) (*OpenerKeys, error) {
	if !validEnvironment(env) {
		return nil, errEnvironment
	}
	const from = "the output of the command"
	o := newOpenerKeys(env)
	dec := jsonReader(text)
	for {
		var file keyFile
		err := dec.Decode(&file)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, keyError(from, "is no key file")
		}
		if file.Environment != env.String() || file.Domain != "" || file.Epoch < 1 {
			return nil, keyError(from, "has a key of another environment or domain")
		}
		if err := o.take(&file, from); err != nil {
			return nil, err
		}
		clear(file.Private)
		clear(file.Keyset)
	}
	if len(o.keys) == 0 {
		return nil, ErrNoKeys
	}
	return o, nil
}

// take takes in one key, which has no twin of its purpose and epoch here.
func (o *OpenerKeys) take(file *keyFile, from string) (err error) {
	switch {
	case file.Purpose == PurposeSeal && o.keys[file.Epoch] == nil:
		o.keys[file.Epoch], err = file.private(from)
	case file.Purpose == PurposeLink && o.link[file.Epoch].hashes == nil:
		o.link[file.Epoch], err = file.mac(from)
	default:
		return keyError(from, "has a key of another purpose, or an epoch twice")
	}
	return err
}
