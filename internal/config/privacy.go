package config

import (
	"errors"

	"github.com/sinbahub/sinbahub/internal/smallnumbers"
)

// Privacy is what reports may tell (deploy/docs/privacy.md).
type Privacy struct {
	// SmallNumbers is the count of an ente's children, cases or messages from which it may be shown in a report
	// (default 5, at least 3, which Sistan's rules ask for; GU 14-1-2019, art. 5). It cannot be turned off.
	SmallNumbers int `yaml:"small_numbers"`
}

func defaultPrivacy() Privacy { return Privacy{SmallNumbers: smallnumbers.Least} }

func (p Privacy) check(say func(key string, err error)) {
	if p.SmallNumbers < smallnumbers.Minimum || p.SmallNumbers > smallnumbers.Maximum {
		say("privacy.small_numbers", errors.New("must be 3 to 1000"))
	}
}

// Least is SmallNumbers as smallnumbers.Suppress has it.
func (p Privacy) Least() int64 { return int64(p.SmallNumbers) }
