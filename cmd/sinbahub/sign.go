package main

import (
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
)

// signFlags say who signs what a command does.
type signFlags struct {
	As      string `help:"The registered person who does it and signs for it; default: operator.person."`
	KeyFile string `name:"key" help:"File of that person's Ed25519 private key (PKCS #8 or OpenSSH, without a passphrase), - for standard input; default: operator.key_file." placeholder:"FILE"`
}

// because gives who acts, with the reason.
func (f signFlags) because(reason string) app.Who {
	return app.Who{As: f.As, Key: f.KeyFile, Reason: reason, Notes: os.Stderr}
}

// reasonFlags are those, and why.
type reasonFlags struct {
	signFlags

	Reason string `help:"Why; it stands in the journal for ever and must name no child." required:""`
}

func (f reasonFlags) who() app.Who { return f.because(f.Reason) }
