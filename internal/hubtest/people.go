package hubtest

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/ticket"
)

// People are two persons who may sign tickets of a hub: anna, an operator and auditor, and bruno, a privacy
// officer. Their keys lie in files, as on their own machines.
type People struct {
	// Dir has anna.key, bruno.key (PKCS #8) and their .pub (SubjectPublicKeyInfo).
	Dir string

	hub *Hub
	tb  testing.TB
}

// Anna and Bruno are their names.
const (
	Anna  = "anna"
	Bruno = "bruno"
)

// People registers both and lets the opener trust them, by the verbs. From then on anna signs what is done by
// commands in h.Environ.
func (h *Hub) People(tb testing.TB) *People {
	tb.Helper()
	p := &People{Dir: tb.TempDir(), hub: h, tb: tb}
	add := func(name string, roles ...string) {
		fingerprint := p.MakeKey(name)
		args := []string{"person", "add", name, "--key", filepath.Join(p.Dir, name+".pub"), "--reason", "incarico di prova"}
		for _, role := range roles {
			args = append(args, "--role", role)
		}
		p.Verb(args...)
		p.Verb("person", "trust", name, "--fingerprint", fingerprint, "--reason", "letta al telefono")
	}
	add(Bruno, "privacy-officer")
	add(Anna, "operator", "auditor") // the first operator: until now nobody had to sign
	h.operator = filepath.Join(p.Dir, Anna+".key")
	return p
}

// Environ is the environment of an operator's command beside the hub; once there are People anna is configured.
func (h *Hub) Environ() []string {
	environ := append(os.Environ(), "SINBAHUB_VAR="+h.Var)
	if h.operator != "" {
		environ = append(environ, "SINBAHUB_OPERATOR_PERSON="+Anna, "SINBAHUB_OPERATOR_KEY_FILE="+h.operator)
	}
	return environ
}

// MakeKey writes the files of a new key and gives its fingerprint.
func (p *People) MakeKey(name string) string {
	p.tb.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		p.tb.Fatal(err)
	}
	write := func(file, kind string, der []byte, err error) {
		if err == nil {
			err = os.WriteFile(filepath.Join(p.Dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			p.tb.Fatal(err)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	write(name+".key", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(public)
	write(name+".pub", "PUBLIC KEY", der, err)
	return ticket.Fingerprint(public)
}

// Ticket writes one that both signed: a purpose, then the words of its scope.
func (p *People) Ticket(reason string, scope ...string) (path string) {
	p.tb.Helper()
	path = filepath.Join(p.Dir, uuid.NewString())
	p.Verb(append([]string{"ticket", "new", "--as", Anna, "--reason", reason, "-o", path}, scope...)...)
	p.Verb("ticket", "sign", path, "--key", filepath.Join(p.Dir, Anna+".key"))
	p.Verb("ticket", "approve", path, "--as", Bruno, "--key", filepath.Join(p.Dir, Bruno+".key"))
	return path
}

// ReplayTicket is one for all of a test: years ago to some days from now.
func (p *People) ReplayTicket() (path string) {
	now := time.Now().UTC()
	return p.Ticket("prova annuale", "replay", now.AddDate(-10, 0, 0).Format(time.RFC3339), now.AddDate(0, 0, 4).Format(time.RFC3339))
}

// Verb runs one that must succeed, and gives what it printed.
func (p *People) Verb(args ...string) string {
	p.tb.Helper()
	out, err := p.Try(args...)
	if err != nil {
		p.tb.Fatalf("%v: %v: %.500s", args, err, out)
	}
	return out
}

// Try runs one, and gives what it printed on both outputs.
func (p *People) Try(args ...string) (string, error) {
	p.tb.Helper()
	cmd := exec.CommandContext(p.tb.Context(), filepath.Join(Binaries(p.tb), "sinbahub"), args...) //nolint:gosec // a test's
	cmd.Env = p.hub.Environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}
