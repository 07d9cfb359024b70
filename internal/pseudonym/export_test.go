package pseudonym

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
