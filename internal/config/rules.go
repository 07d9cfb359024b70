package config

import (
	"errors"
	"fmt"
	"time"
)

// Rules is what an operator decides about the rules beyond the schema. Which of them is in force
// stands in the log when the hub starts, and its digest in the journal's entry of every event.
type Rules struct {
	// CutOff is the day, YYYY-MM-DD, from which on a case must have moved to be loaded, BR-21
	// (default 2012-01-01).
	CutOff string `yaml:"cut_off"`
	// WarningOnly are the rules that warn instead of refuse for a while (default none), like
	// [{rule: BR-12, participant: aster, until: 2027-03-31}]; so in the environment, too.
	WarningOnly []WarningOnly `yaml:"warning_only"`
}

// WarningOnly lets a rule only warn, until a day that every warning announces. Rules that protect
// identities or the authorisation cannot be softened; the hub does not start with one.
type WarningOnly struct {
	// Rule is BR-nn.
	Rule string `yaml:"rule"`
	// Participant is its name in the registry (default: all participants). What is said of one
	// participant goes before what is said of all.
	Participant string `yaml:"participant"`
	// Until is the last day, YYYY-MM-DD in Italy, on which the rule only warns: for software that
	// cannot follow it yet.
	Until string `yaml:"until"`
	// From is the first day on which the rule refuses: for a rule that is new. One of both is set.
	From string `yaml:"from"`
}

// BlocksFrom is the first day on which the rule refuses, YYYY-MM-DD.
func (w WarningOnly) BlocksFrom() string {
	if w.From != "" {
		return w.From
	}
	last, err := time.Parse(time.DateOnly, w.Until)
	if err != nil {
		return "" // check refuses it
	}
	return last.AddDate(0, 0, 1).Format(time.DateOnly)
}

// check finds every fault that shows without knowing the rules.
func (r Rules) check(say func(key string, err error)) {
	say("rules.cut_off", checkDay(r.CutOff))
	for i, w := range r.WarningOnly {
		key := fmt.Sprintf("rules.warning_only[%d]", i+1)
		if (w.Until == "") == (w.From == "") {
			say(key, errors.New("needs either until or from"))
		}
		say(key+".until", checkDay(w.Until))
		say(key+".from", checkDay(w.From))
	}
}

func checkDay(text string) error {
	if _, err := time.Parse(time.DateOnly, text); text != "" && err != nil {
		return errors.New("must be a day like 2027-03-31")
	}
	return nil
}
