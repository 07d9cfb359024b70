package verify

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// manifest is what the bundle says it is.
type manifest struct {
	// version is the format's number.
	version          int
	origin           string
	from, to         time.Time
	first, end, size int64
	// closed says that a checkpoint was signed at or after the end of the range, and closes it.
	closed bool
	// retired is the size of the tree up to which entries of retention were looked for.
	retired int64
	// lacking says that the database had less than the hub's own file of checkpoints, and that nobody had
	// signed for that; the export is then not in the journal.
	lacking bool
	// ente is the code of the ente that the bundle is for, empty for a full one; row is its number in
	// entries.
	ente    string
	row     int32
	members []listed
}

// listed is a member as the manifest has it.
type listed struct {
	name   string
	digest [32]byte
	size   int64
}

// The first line of a manifest, of those formats that this verifier knows. The first one has neither
// closed nor retired: it ends with the last checkpoint if the range is not closed, and its entries of
// retention are those of the range.
const (
	manifestFirst  = "sinba-evidence/v1"
	manifestFormat = "sinba-evidence/v2"
)

var (
	errManifest        = errors.New("not a manifest of evidence as this verifier knows it (" + manifestFirst + ", " + manifestFormat + ")")
	errManifestMembers = errors.New("its list of members is not one name a line, sorted, each with digest and length")
)

// parseManifest reads the text of a manifest.
func parseManifest(text string) (m manifest, err error) {
	head := heading{rest: text}
	switch head.line() {
	case manifestFirst:
		m.version = 1
	case manifestFormat:
		m.version = 2
	default:
		return m, errManifest
	}
	m.origin = head.word("origin")
	m.from, m.to = head.time("from"), head.time("to")
	if m.version > 1 {
		m.closed = head.choice("closed")
	}
	m.first, m.end, m.size = head.number("first"), head.number("end"), head.number("size")
	if m.retired = m.size; m.version > 1 {
		m.retired = head.number("retired")
		if strings.HasPrefix(head.rest, "lacking ") {
			m.lacking = head.choice("lacking")
			head.bad = head.bad || !m.lacking
		}
	}
	if strings.HasPrefix(head.rest, "ente ") {
		code, row, _ := strings.Cut(head.word("ente"), " ")
		n, ok := decimal(row)
		head.bad = head.bad || code == "" || !ok || n < 1 || n > 1<<31-1
		m.ente, m.row = code, int32(n) //nolint:gosec // compared above
	}
	if head.bad || m.first < 0 || m.first > m.end || m.end > m.size || m.from.After(m.to) {
		return m, errManifest
	}
	if m.ente == "" && m.first%tileWidth != 0 {
		return m, errManifest
	}
	for line := range strings.Lines(head.rest) {
		l, ok := parseListed(line)
		if !ok || len(m.members) > 0 && m.members[len(m.members)-1].name >= l.name {
			return m, errManifestMembers
		}
		m.members = append(m.members, l)
	}
	return m, nil
}

// parseListed reads "sha256hex length name\n". A name is a path that cannot leave the folder that
// somebody unpacks the bundle into.
func parseListed(line string) (l listed, ok bool) {
	line, ended := strings.CutSuffix(line, "\n")
	digest, rest, _ := strings.Cut(line, " ")
	size, name, _ := strings.Cut(rest, " ")
	raw, err := hex.DecodeString(digest)
	if !ended || err != nil || len(raw) != len(l.digest) || digest != strings.ToLower(digest) {
		return l, false
	}
	copy(l.digest[:], raw)
	l.name = name
	l.size, ok = decimal(size)
	return l, ok && plainPath(name) && name != manifestName
}

// plainPath tells whether a name is a path of visible ASCII without backslash, leading slash or dots.
func plainPath(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' || name[i] == '\\' {
			return false
		}
	}
	return fs.ValidPath(name) && name != "."
}

// heading takes the lines above the list off a manifest.
type heading struct {
	rest string
	bad  bool
}

func (h *heading) line() string {
	line, rest, ended := strings.Cut(h.rest, "\n")
	h.rest, h.bad = rest, h.bad || !ended
	return line
}

// word is what stands behind the key of the next line.
func (h *heading) word(key string) string {
	value, found := strings.CutPrefix(h.line(), key+" ")
	h.bad = h.bad || !found || value == ""
	return value
}

func (h *heading) number(key string) int64 {
	n, ok := decimal(h.word(key))
	h.bad = h.bad || !ok
	return n
}

// choice is yes or no.
func (h *heading) choice(key string) bool {
	value := h.word(key)
	h.bad = h.bad || value != "yes" && value != "no"
	return value == "yes"
}

func (h *heading) time(key string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, h.word(key))
	h.bad = h.bad || err != nil
	return t
}
