package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// prefix of every environment variable that sets a key.
const prefix = "SINBAHUB_"

// override lets SINBAHUB_* win over the file. A variable that names no key is left alone if it
// is one of the tests' or tools' own (corpora), and an error else.
func override(c *Config, environ []string) error {
	fields := map[string]reflect.Value{}
	walk(reflect.ValueOf(c).Elem(), prefix, fields)
	var faults []error
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, prefix) || name == prefix+"CORPORA" || strings.HasPrefix(name, prefix+"TEST_") {
			continue
		}
		field, known := fields[name]
		if !known {
			faults = append(faults, fmt.Errorf("environment: unknown key %s", name))
			continue
		}
		if err := set(field, value); err != nil {
			faults = append(faults, fmt.Errorf("environment: %s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// walk collects the settable leaves under their variable names.
func walk(v reflect.Value, name string, into map[string]reflect.Value) {
	for i := range v.NumField() {
		key := name + strings.ToUpper(v.Type().Field(i).Tag.Get("yaml"))
		field := v.Field(i)
		if field.Kind() == reflect.Struct && field.Type() != reflect.TypeFor[Secret]() {
			walk(field, key+"_", into)
			continue
		}
		into[key] = field
	}
}

// set reads a text into a leaf. The error never quotes it.
func set(field reflect.Value, text string) error {
	switch field.Interface().(type) {
	case string:
		field.SetString(text)
	case Secret:
		field.Set(reflect.ValueOf(NewSecret(text)))
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("must be true or false")
		}
		field.SetBool(b)
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("must be a number")
		}
		field.SetInt(int64(n))
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("must be a duration like 2s")
		}
		field.SetInt(int64(d))
	default: // a list, written as in the file
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		if d.Decode(field.Addr().Interface()) != nil {
			return errors.New("must be YAML as in the file")
		}
	}
	return nil
}
