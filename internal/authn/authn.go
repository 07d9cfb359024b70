// Package authn tells which participant sent a message.
//
// The demo's profile is HTTP Basic over loopback (RFC 7617): the password is 256 random bits
// made by the hub, so that its plain SHA-256 is as strong as the password itself and a slow
// hash would only slow down the door. Mutual TLS and WS-Security come with their issues.
package authn

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync/atomic"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Credential binds an API user to a participant.
type Credential struct {
	// User is the Basic user name.
	User string
	// PasswordSHA256 is the digest of the password's bytes.
	PasswordSHA256 [sha256.Size]byte
	// Participant is who it stands for.
	Participant hub.Participant
}

// Registry holds the credentials in force. It may be replaced while requests run.
type Registry struct {
	byUser atomic.Pointer[map[string]Credential]
}

// NewRegistry makes a registry of the given credentials.
func NewRegistry(credentials []Credential) *Registry {
	r := &Registry{}
	r.Replace(credentials)
	return r
}

// Replace puts other credentials in force at once.
func (r *Registry) Replace(credentials []Credential) {
	byUser := make(map[string]Credential, len(credentials))
	for _, c := range credentials {
		byUser[c.User] = c
	}
	r.byUser.Store(&byUser)
}

// Basic finds the participant of a request's Basic credential. Whatever is wrong with it gives
// the same *hub.Error of kind Unauthenticated, in the same time whether the user exists or not.
func (r *Registry) Basic(req *http.Request) (*hub.Participant, error) {
	user, password, ok := req.BasicAuth()
	credential, known := (*r.byUser.Load())[user]
	digest := sha256.Sum256([]byte(password))
	same := subtle.ConstantTimeCompare(digest[:], credential.PasswordSHA256[:]) == 1
	if !ok || !known || !same {
		return nil, hub.NewError(hub.Unauthenticated, hub.CodeNoCredential, nil)
	}
	return &credential.Participant, nil
}
