package pseudonym

import "context"

// MessageKeys derives the keys of messages one after the other in the same room. left is what is there
// of the last one when it has been forgotten.
func MessageKeys(epoch [64]byte, subject Secret, labels ...Label) (keys [][]byte, left []byte) {
	d, own := newKeyDeriver(), epochBytes(epoch)
	for _, label := range labels {
		keys = append(keys, append([]byte(nil), d.derive(&own, subject, label)...))
		d.forget()
	}
	return keys, append(append(left, d.pad[:]...), d.sum[:]...)
}

// SecretOf makes a secret of its bytes.
func SecretOf(b [32]byte) Secret {
	s, _ := secretOf(b[:])
	return s
}

const resolveSQL = `
SELECT l.link_index, l.sealed_identity, s.id, s.secret, s.state = 'pending'
FROM vault.subject_link l
JOIN vault.subject s ON s.id = l.subject_id
WHERE l.link_index = ANY ($1::bytea[])`

// New tells that the vault did not hold the subject when it was looked for by an identity.
func (s Subject) New() bool { return s.identity == nil }

// Resolve looks at what the vault holds for an identity, a new subject if it holds none.
func (v *Vault) Resolve(ctx context.Context, index LinkIndex) (Subject, error) {
	rows, err := v.pool.Query(ctx, resolveSQL, index.sums())
	if err != nil {
		return Subject{}, unavailable(err)
	}
	found, err := scanReserved(rows)
	if err != nil {
		return Subject{}, unavailable(err)
	}
	s, ok := among(found, index)
	if !ok {
		s = NewSubject()
	}
	s.link = index
	return s, nil
}
