package opener

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/sinbahub/sinbahub/internal/ticket"
)

// Trust is the opener's own list of people: a file beside its private keys, which only its user or root may
// write. Who writes into the database cannot add anybody to it; a person counts who stands in both, with
// the same key and roles, and was not retired. The file is read at each ticket.
type Trust struct {
	path   string
	owners []int
	// held is the file as it was at the start, for a process that may not enter its folder any more.
	held *os.File
}

// ErrTrust says that the opener's list cannot be used.
var ErrTrust = errors.New("the opener's list of people is missing, is not as `person trust` writes it, or can be changed by others than its user")

// mostTrust bounds the list.
const mostTrust = 1 << 20

// OpenTrust opens a list, and makes an empty one if there is none. owners are the users, besides root, that
// it may belong to.
func OpenTrust(path string, owners ...int) (*Trust, error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, ErrTrust
	}
	t := &Trust{path: path, owners: append([]int{0}, owners...), held: file}
	if _, err := t.People(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return t, nil
}

// Close closes the file.
func (t *Trust) Close() error { return t.held.Close() }

// People reads the list.
func (t *Trust) People() ([]ticket.Person, error) {
	file, err := os.OpenFile(filepath.Clean(t.path), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	switch {
	case err == nil:
		defer func() { _ = file.Close() }()
	case errors.Is(err, fs.ErrPermission):
		file = t.held
	default:
		return nil, ErrTrust
	}
	info, err := file.Stat()
	if err != nil {
		return nil, ErrTrust
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	// One without a name was replaced, and who reads it still would trust people who are not listed any more.
	if !ok || !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 || stat.Nlink == 0 || info.Size() > mostTrust ||
		!slices.Contains(t.owners, int(stat.Uid)) {
		return nil, ErrTrust
	}
	text, err := io.ReadAll(io.NewSectionReader(file, 0, mostTrust))
	if err != nil {
		return nil, ErrTrust
	}
	return ParseTrust(text)
}

// TrustLine is a person's line: the name, the roles with commas between them, the key as OpenSSH writes it.
func TrustLine(p ticket.Person) string {
	roles := make([]string, len(p.Roles))
	for i, r := range p.Roles {
		roles[i] = string(r)
	}
	return p.Name + " " + strings.Join(roles, ",") + " " + ticket.Line(p.Key) + "\n"
}

// ParseTrust reads a list: lines of TrustLine, empty ones, and those that begin with #. A name or a key
// that comes twice is no list.
func ParseTrust(text []byte) ([]ticket.Person, error) {
	var all []ticket.Person
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("#")) || len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		words := strings.SplitN(strings.TrimSuffix(string(line), "\n"), " ", 3)
		if len(words) != 3 {
			return nil, ErrTrust
		}
		p := ticket.Person{Name: words[0]}
		for role := range strings.SplitSeq(words[1], ",") {
			p.Roles = append(p.Roles, ticket.Role(role))
		}
		key, err := ticket.ParsePublic([]byte(words[2]))
		if err != nil {
			return nil, ErrTrust
		}
		p.Key = key
		again := slices.ContainsFunc(all, func(q ticket.Person) bool { return q.Name == p.Name || q.Key.Equal(p.Key) })
		if again || TrustLine(p) != string(line) {
			return nil, ErrTrust
		}
		all = append(all, p)
	}
	return all, nil
}

// trusted are the people who are in both lists, alike.
func trusted(registered, listed []ticket.Person) []ticket.Person {
	return slices.DeleteFunc(slices.Clone(registered), func(p ticket.Person) bool {
		return !slices.ContainsFunc(listed, func(q ticket.Person) bool {
			return p.Name == q.Name && p.Key.Equal(q.Key) && slices.Equal(p.Roles, q.Roles)
		})
	})
}
