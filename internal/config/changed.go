package config

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// live are the keys, or the sections with all their keys, that a running serve can change. What is
// not here needs a restart: a key that nobody thought of, too.
func live() []string {
	return []string{
		"admission", "limits.body_memory", "limits.rate", "limits.burst", "limits.stranger_rate", "limits.drain",
		"limits.drain_delay", "log.level", "operator", "retention", "rules", "siss.rate",
	}
}

// Changed lists the keys in which two configurations differ, as the file names them: those that a
// running serve can change, and those that need a restart.
func Changed(before, after Config) (now, later []string) {
	a, b := leaves(before), leaves(after)
	for i, s := range a {
		if reflect.DeepEqual(s.value, b[i].value) {
			continue
		}
		if slices.ContainsFunc(live(), func(key string) bool { return s.key == key || strings.HasPrefix(s.key, key+".") }) {
			now = append(now, s.key)
		} else {
			later = append(later, s.key)
		}
	}
	return now, later
}

// Digest is the SHA-256 over a line for each key and its value, in the order of their declaration.
// Of a secret it tells only whether there is one.
func (c Config) Digest() [sha256.Size]byte {
	hash := sha256.New()
	for _, s := range leaves(c) {
		value := s.value
		if secret, ok := value.(Secret); ok {
			value = !secret.IsZero()
		}
		_, _ = fmt.Fprintf(hash, "%s=%+v\n", s.key, value)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// setting is one key with its value.
type setting struct {
	key   string
	value any
}

// leaves are all keys in the order of their declaration.
func leaves(c Config) []setting { return appendLeaves(nil, reflect.ValueOf(c), "") }

func appendLeaves(to []setting, v reflect.Value, section string) []setting {
	for i := range v.NumField() {
		key := section + v.Type().Field(i).Tag.Get("yaml")
		field := v.Field(i)
		if field.Kind() == reflect.Struct && field.Type() != reflect.TypeFor[Secret]() {
			to = appendLeaves(to, field, key+".")
			continue
		}
		to = append(to, setting{key, field.Interface()})
	}
	return to
}
