package app

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strings"
)

// errActor says that a name given for an operator cannot be one.
var errActor = errors.New("the actor must be an account name: 1 to 64 letters, digits and signs of .@_-")

// whoAndWhy checks why an operator acts, which stands in the journal, and gives who it is. An account is
// what the machine says, or what the operator does: nothing proves it. What is proven is under a ticket.
func whoAndWhy(given, reason string) (actor string, err error) {
	if strings.TrimSpace(reason) == "" {
		return "", errNoReason
	}
	if err := CheckReason(reason); err != nil {
		return "", fmt.Errorf("--reason: %w", err)
	}
	return ActorOf(given)
}

// ActorOf is who acts, for the journal: the name given if there is one, else the account that this
// process runs as, or that became root by sudo.
func ActorOf(given string) (string, error) {
	name := given
	if name == "" && os.Geteuid() == 0 {
		name = os.Getenv("SUDO_USER")
	}
	if name == "" {
		account, err := user.Current()
		if err != nil {
			return "", fmt.Errorf("name the actor: %w", err)
		}
		name = account.Username
	}
	if !regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`).MatchString(name) {
		return "", errActor
	}
	if err := CheckReason(name); err != nil {
		return "", errActor
	}
	return name, nil
}
