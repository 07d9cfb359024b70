package validator_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// lie is a document that has a liar answer it with these bytes; flag says what to do with them
// (testdata/liar.c).
func lie(flag byte, answer []byte) []byte {
	return append([]byte{'R', 'A', 'W', flag}, answer...)
}

// framed puts length and room for the id before the parts of an answer: numbers of four bytes,
// bytes and strings as they are.
func framed(parts ...any) []byte {
	b := []byte{0, 0, 0, 0, 0, 0, 0, 0}
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.LittleEndian.AppendUint32(b, uint32(p))
		case uint16:
			b = binary.LittleEndian.AppendUint16(b, p)
		case byte:
			b = append(b, p)
		case []byte:
			b = append(b, p...)
		case string:
			b = append(b, p...)
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

const (
	u0, u1, u2 = byte(0), byte(1), byte(2)
	first      = uint16(1)
	root       = "\x0DEchoRichiesta"
	payload    = "<EchoRichiesta></EchoRichiesta>"
	// plain describes no value and names no child.
	plain = "\x00\x00\x00\x00"
)

// mark stands in lies where a worker could tell what it has seen of others.
const mark = "MARKED7x"

// Parts of answers to lots.
const (
	lotRoot  = "\x13InviaLottoRichiesta"
	lotFrame = "<InviaLottoRichiesta></InviaLottoRichiesta>"
	item     = "<Evento></Evento>"
	lotJudge = byte(xmlschema.LotJudged)
)

// lotLies are answers to lots that no honest worker gives. None is as long as the names of two items.
func lotLies() map[string][]byte {
	good := string(framed(u1, u0, len(item), item)[8:])
	finding := string(framed(1824, 1, u1, first, first, "\x06Evento", plain)[8:])
	id := "\x2449d9caa9-ef14-501b-938c-5db537c60e47"
	return map[string][]byte{
		"lot without items":           framed(lotJudge, u0, lotRoot, u0, 0, u0, lotFrame),
		"lot as a valid document":     framed(u0, u0, lotRoot, u0, 0, lotFrame),
		"other document as a lot":     framed(lotJudge, u0, root, u0, 0, good, u0, payload),
		"lot without its frame":       framed(lotJudge, u0, lotRoot, u0, 0, good, u0),
		"lot without an end":          framed(lotJudge, u0, lotRoot, u0, 0, good),
		"frame of another":            framed(lotJudge, u0, lotRoot, u0, 0, good, u0, payload),
		"item of another":             framed(lotJudge, u0, lotRoot, u0, 0, u1, u0, len(payload), payload, u0, lotFrame),
		"item of nothing":             framed(lotJudge, u0, lotRoot, u0, 0, u1, u0, 0, u0, lotFrame),
		"item beyond the end":         framed(lotJudge, u0, lotRoot, u0, 0, u1, u0, 1<<20, item, u0, lotFrame),
		"item of 4 GB":                framed(lotJudge, u0, lotRoot, u0, 0, u1, u0, -1, item, u0, lotFrame),
		"item not UTF-8":              framed(lotJudge, u0, lotRoot, u0, 0, u1, u0, len(item)+1, item+"\xFF", u0, lotFrame),
		"item that is text":           framed(lotJudge, u0, lotRoot, u0, 0, u1, u0, len(mark), mark, u0, lotFrame),
		"item of an unknown kind":     framed(lotJudge, u0, lotRoot, u0, 0, byte(3), u0, len(item), item, u0, lotFrame),
		"version of an item is text":  framed(lotJudge, u0, lotRoot, u0, 0, u1, "\x08"+mark, len(item), item, u0, lotFrame),
		"refused without a finding":   framed(lotJudge, u0, lotRoot, u0, 0, u2, u0, u0, 0, u0, u0, lotFrame),
		"refused with 101 findings":   framed(lotJudge, u0, lotRoot, u0, 0, u2, u0, u0, 200, byte(101), strings.Repeat(finding, 101), u0, lotFrame),
		"more findings than in total": framed(lotJudge, u0, lotRoot, u0, 0, u2, u0, u0, 1, u2, finding, finding, u0, lotFrame),
		"id that is text":             framed(lotJudge, u0, lotRoot, u0, 0, u2, u0, "\x08"+mark, 1, u1, finding, u0, lotFrame),
		"id in 36 letters":            framed(lotJudge, u0, lotRoot, u0, 0, u2, u0, "\x24"+strings.Repeat("MARK", 9), 1, u1, finding, u0, lotFrame),
		"bytes of a lot after an end": framed(byte(xmlschema.Doctype), u0, u0, u0, 0, good, id),
	}
}

// lies are answers that no honest worker gives.
func lies() map[string][]byte {
	finding := string(framed(1824, 1, u1, first, first, root, plain)[8:])
	return map[string][]byte{
		"unknown status":         framed(byte(10), u0, u0, u0, 0),
		"SOAP in a bare one":     framed(u0, u1, root, u0, 0, payload),
		"not SOAP":               framed(byte(xmlschema.NotSOAP), u0, u0, u0, 0),
		"root not in the schema": framed(u0, u0, "\x08"+mark, u0, 0, "<"+mark+"></"+mark+">"),
		"root is another":        framed(u0, u0, root, u0, 0, "<"+mark+"></"+mark+">"),
		"payload is text":        framed(u0, u0, root, u0, 0, mark),
		"payload ends in a name": framed(u0, u0, root, u0, 0, "<EchoRichiesta"),
		"payload is not UTF-8":   framed(u0, u0, root, u0, 0, payload+"\xFF"),
		"no payload":             framed(u0, u0, root, u0, 0),
		"no root":                framed(u0, u0, u0, u0, 0, payload),
		"version is text":        framed(u0, u0, root, "\x08"+mark, 0, payload),
		"version too long":       framed(u0, u0, root, "\x09123456789", 0, payload),
		"header in a bare one":   framed(u0, u0, root, u0, 11, "<Header a=>", payload),
		"header of 4 GB":         framed(u0, u0, root, u0, -1, payload),
		"bytes after the end":    framed(byte(xmlschema.Doctype), u0, u0, u0, 0, mark),
		"bytes after findings":   framed(u1, u0, root, u0, 0, 1, u1, finding, mark),
		"no finding":             framed(u1, u0, root, u0, 0, 0, u0),
		"fewer findings":         framed(u1, u0, root, u0, 0, 9, byte(9), finding),
		"101 findings":           framed(u1, u0, root, u0, 0, 200, byte(101), strings.Repeat(finding, 101)),
		"255 findings":           framed(u1, u0, root, u0, 0, 1000, byte(255), strings.Repeat(finding, 255)),
		"line out of bounds":     framed(u1, u0, root, u0, 0, 1, u1, 1824, 1<<24+1, u1, first, first, root, plain),
		"code out of bounds":     framed(u1, u0, root, u0, 0, 1, u1, 200_001, 1, u1, first, first, root, plain),
		"position zero":          framed(u1, u0, root, u0, 0, 1, u1, 1824, 1, u1, uint16(0), uint16(0), root, plain),
		"attribute within":       framed(u1, u0, root, u0, 0, 1, u1, 1824, 1, u2, uint16(0), uint16(0), "\x02@v", plain, first, first, root, plain),
		"kind of no value":       framed(u1, u0, root, u0, 0, 1, u1, 1824, 1, u1, first, first, root, byte(4), first, u0),
		"kind that is none":      framed(u1, u0, root, u0, 0, 1, u1, 1824, 1, u1, first, first, root, byte(0xC4), first, u0),
		"child not the schema's": framed(u1, u0, root, u0, 0, 1, u1, 1824, 1, u1, first, first, root, u0, uint16(0), "\x08"+mark),
		"broken beyond lines":    framed(byte(xmlschema.Malformed), u0, u0, u0, 0, -1),
		"nothing":                framed(),
		"length of the id alone": framed()[:8],
		"length zero":            {0, 0, 0, 0, 0, 0, 0, 0},
		"length three":           {3, 0, 0, 0, 0, 0, 0, 0},
		"two gigabytes":          {0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0},
		"four gigabytes":         {0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0},
	}
}

// TestNoLieOfAWorkerIsTold has a worker lie in every way to one of several callers: the document
// is refused after a second worker lied too, both workers are replaced, and nobody else notices.
func TestNoLieOfAWorkerIsTold(t *testing.T) {
	t.Parallel()
	p := lying(t, 30*time.Second)
	n := 0
	all := lies()
	maps.Copy(all, lotLies())
	for name, answer := range all {
		_, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('i', answer))
		if codeOf(t, err) != hub.CodeValidatorDied || strings.Contains(fmt.Sprintf("%+v %#v", err, err), mark) {
			t.Errorf("%s: got %v", name, err)
		}
		n += 2
		if got := p.restarts(t, "protocol"); got < n-1 || got > n { // the last end may not be counted yet
			t.Errorf("%s: %d workers ended, want %d", name, got, n)
		}
		if r, err := p.validate(t, "<good/>"); err != nil || string(r.Payload) != payload {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

// TestAnswerOfAnotherModeIsALie: who only asked for a verdict gets no payload, and who asked for
// one gets it.
func TestAnswerOfAnotherModeIsALie(t *testing.T) {
	t.Parallel()
	p := lying(t, 30*time.Second)
	whole, bare := framed(u0, u0, root, u0, 0, payload), framed(u0, u0, root, u0, 0)
	for name, c := range map[string]struct {
		mode   validator.Mode
		answer []byte
		want   hub.Code
	}{
		"payload":            {validator.Bare, whole, ""},
		"no payload":         {validator.Bare, bare, hub.CodeValidatorDied},
		"verdict":            {validator.Judge, bare, ""},
		"verdict and more":   {validator.Judge, whole, hub.CodeValidatorDied},
		"without a version":  {validator.Envelope, whole, hub.CodeValidatorDied},
		"verdict of another": {validator.Judge, framed(u0, u1, root, u0, 0), hub.CodeValidatorDied},
	} {
		r, err := p.Validate(t.Context(), validator.SinbaEventi, c.mode, lie('i', c.answer))
		if codeOf(t, err) != c.want || c.want == "" && (r.Payload != nil) != (c.mode == validator.Bare) {
			t.Errorf("%s: %v, %d bytes", name, err, len(r.Payload))
		}
	}
}

// TestAnswerHasItsRoomAndNoMore: canonical bytes may be longer than the document, but not by any
// length.
func TestAnswerHasItsRoomAndNoMore(t *testing.T) {
	t.Parallel()
	p := lying(t, 30*time.Second)
	for over, want := range map[int]hub.Code{0: "", 1: hub.CodeValidatorDied, 1 << 20: hub.CodeValidatorDied} {
		doc := lie('p', framed(u0, u0, root, u0, 0, payload))
		binary.LittleEndian.PutUint32(doc[4:], uint32(4+xmlschema.AnswerRoom(len(doc))+over))
		if r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, doc); codeOf(t, err) != want || err == nil && r.Payload == nil {
			t.Errorf("%d bytes too many: %v", over, err)
		}
	}
	until(t, "all are counted", func() bool { return p.restarts(t, "protocol") == 4 })
}

// TestHalfAnAnswerEndsTheWorker cuts an honest answer at every byte: the worker dies there, or
// says nothing more.
func TestHalfAnAnswerEndsTheWorker(t *testing.T) {
	t.Parallel()
	honest := framed(u1, u0, root, u0, 0, 1, u1, 1824, 1, u1, first, first, root, plain)
	p := lying(t, 30*time.Second)
	for cut := range honest {
		if _, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('d', honest[:cut])); codeOf(t, err) != hub.CodeValidatorDied {
			t.Errorf("dead after %d bytes: %v", cut, err)
		}
	}
	if _, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('d', honest)); err != nil {
		t.Errorf("dead after the answer: %v", err)
	}
	if n := p.restarts(t, "deadline"); n != 0 {
		t.Errorf("%d waited for the deadline", n)
	}
	impatient := lying(t, 300*time.Millisecond)
	for _, cut := range []int{0, 3, 8, len(honest) - 1} {
		if _, err := impatient.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('i', honest[:cut])); codeOf(t, err) != hub.CodeValidatorDied {
			t.Errorf("silent after %d bytes: %v", cut, err)
		}
	}
	until(t, "all are counted", func() bool { return impatient.restarts(t, "deadline") == 8 })
}

// TestWorkerThatTalksOrListensNoMoreIsReplaced: it answered the document, which is then done; the
// next ones must not wait for it longer than the deadline.
func TestWorkerThatTalksOrListensNoMoreIsReplaced(t *testing.T) {
	t.Parallel()
	for what, reason := range map[string]string{"<DEAF/>": "deadline", "<HANG-UP/>": "crash", "<FLOOD/>": "protocol"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := lying(t, 500*time.Millisecond)
			// A large one, so that the next go to the same worker.
			if _, err := p.validate(t, what+strings.Repeat(" ", 1<<20)); codeOf(t, err) != "" && codeOf(t, err) != hub.CodeValidatorDied {
				t.Error(err)
			}
			// More than a socket holds, so that the writer waits as well.
			long := "<good>" + strings.Repeat(" ", 3<<20) + "</good>"
			for range 4 {
				if r, err := p.validate(t, long); err != nil || string(r.Payload) != payload {
					t.Error(err)
				}
			}
			until(t, "it is replaced", func() bool { return p.restarts(t, reason) > 0 })
		})
	}
}

// TestHandshakeOfAStrangerIsRefused has programs for workers that are none.
func TestHandshakeOfAStrangerIsRefused(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"/bin/true", "/bin/cat", "/bin/false"} {
		p, err := validator.New(validator.Config{Workers: 1, Schemas: schemas(t), Executable: program})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err == nil {
			t.Errorf("%s is a worker", program)
			_ = p.Close()
		}
	}
}

// TestNumbersOfAWorkerAreBoundByTheDocument: what the protocol allows is still no room to write
// in what others sent.
func TestNumbersOfAWorkerAreBoundByTheDocument(t *testing.T) {
	t.Parallel()
	p := lying(t, 30*time.Second)
	answer := framed(u1, u0, root, u0, 0, 1<<20, u1, 1824, 80_115, u2, uint16(9001), uint16(9002), root, uint16(5001), uint16(5002), "\x08"+mark, byte(0x84), uint16(60_000), "\x09Messaggio")
	r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('i', answer))
	if err != nil {
		t.Fatal(err)
	}
	lines := 1 + strings.Count(string(answer), "\n")
	v := r.Violations[0]
	if len(r.Violations) != 1 || v.Line > lines || r.Total > 4*(len(answer)+4) || v.Path != "/EchoRichiesta/*[1]" || v.Length > len(answer)+4 {
		t.Errorf("%+v, %d lines", r, lines)
	}
	_, err = p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('i', framed(byte(xmlschema.Malformed), u0, u0, u0, 0, 80_115)))
	var e *hub.Error
	if !errors.As(err, &e) || e.Kind != hub.Malformed || e.Public[0].Line > 2 {
		t.Errorf("got %+v", e)
	}
}

// TestNumbersOfALotAreBoundByTheDocument: as of a single document, and no item is told that the
// document has no name for.
func TestNumbersOfALotAreBoundByTheDocument(t *testing.T) {
	t.Parallel()
	p := lying(t, 30*time.Second)
	refused := string(framed(u2, u0, u0, 1<<20, u1, 1824, 80_115, u2, uint16(9001), uint16(9002), "\x06Evento", uint16(5001), uint16(5002), "\x08"+mark, byte(0x84), uint16(60_000), "\x09Messaggio")[8:])
	answer := framed(lotJudge, u0, lotRoot, u0, 0, refused, u0, lotFrame)
	r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('i', answer))
	if err != nil || len(r.Items) != 1 {
		t.Fatalf("%v, %d items", err, len(r.Items))
	}
	i, lines := r.Items[0], 1+strings.Count(string(answer), "\n")
	if v := i.Violations[0]; v.Line > lines || i.Total > 4*(len(answer)+4) || v.Path != "/Evento[2]/*[2]" || v.Length > len(answer)+4 { // it holds two of "<"
		t.Errorf("%+v, %d lines", i, lines)
	}
	// Each of these has the name of one item, two thirds of the items it tells of.
	short := string(framed(u1, u0, 10, "<e:Evento>")[8:])
	refused = string(framed(u2, u0, u0, 1, u1, 1824, 1, u1, first, first, u0, plain)[8:])
	answer = framed(lotJudge, u0, lotRoot, u0, 0, short, refused, refused, u0, lotFrame)
	if _, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('i', answer)); codeOf(t, err) != hub.CodeValidatorDied {
		t.Errorf("three items, one name: %v", err)
	}
	// An id is repeated because the document, which here is the answer, holds it.
	id := "49d9caa9-ef14-501b-938c-5db537c60e47"
	answer = framed(lotJudge, u0, lotRoot, u0, 0, u2, u0, "\x24"+id, 1, u1, 1824, 1, u1, first, first, "\x06Evento", plain, u0, lotFrame)
	if r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, lie('i', answer)); err != nil || r.Items[0].ID != id {
		t.Errorf("an id of the document: %v", err)
	}
}

// schemaNames are the words a path may be made of.
func schemaNames(tb testing.TB) []string {
	tb.Helper()
	files := eventFiles(tb)
	var all []string
	for _, m := range regexp.MustCompile(`<xs:(element|attribute) name="([^"]+)"`).FindAllStringSubmatch(string(files.Files[files.Main]), -1) {
		all = append(all, m[2])
	}
	return all
}

// believable fails the test if anything but the schema's own words, contract codes, and numbers
// that the document could give rise to came of a worker's answer.
func believable(tb testing.TB, known []string, doc []byte, r validator.Result, err error) {
	tb.Helper()
	if err != nil {
		code := codeOf(tb, err)
		if !regexp.MustCompile(`^SINBA_(0|5)\d\d$`).MatchString(string(code)) {
			tb.Errorf("code %q", code)
		}
		return
	}
	if !slices.Contains(known, r.Root) || !regexp.MustCompile(`^([0-9.]{0,8}|\?)$`).MatchString(r.Version) || len(r.Violations) > xmlschema.MaxFindings {
		tb.Errorf("%+v", r)
	}
	step := regexp.MustCompile(`^(@?[A-Za-z0-9]+|@?\*)(\[[0-9]{1,5}\])?$`)
	lines := 1 + strings.Count(string(doc), "\n")
	for _, i := range r.Items {
		if !regexp.MustCompile(`^([0-9.]{0,8}|\?)$`).MatchString(i.Version) || i.ID != "" && !strings.Contains(string(doc), i.ID) ||
			(i.Payload == nil) != (len(i.Violations) > 0) || i.Total < len(i.Violations) || i.Total > max(4*len(doc), 100) {
			tb.Errorf("%+v", i)
		}
	}
	if len(r.Items) > strings.Count(string(doc), "Evento") || len(r.Items) > 0 && r.Root != "InviaLottoRichiesta" {
		tb.Errorf("%d items", len(r.Items))
	}
	all := slices.Clone(r.Violations)
	for _, i := range r.Items {
		all = append(all, i.Violations...)
	}
	for _, v := range all {
		told := strings.FieldsFunc(v.About+"|"+v.Next, func(r rune) bool { return r == '|' || r == '@' })
		if i := slices.IndexFunc(told, func(name string) bool { return !slices.Contains(known, name) }); i >= 0 {
			tb.Errorf("tells %q", told[i])
		}
		if v.Length > len(doc) || v.Kind > 2*hub.Described-1 {
			tb.Errorf("%+v", v)
		}
		if !regexp.MustCompile(`^SINBA_2\d\d$`).MatchString(string(v.Code)) || v.Line > lines {
			tb.Errorf("%+v", v)
		}
		for _, s := range strings.Split(v.Path, "/")[1:] {
			m := step.FindStringSubmatch(s)
			if m == nil || !strings.HasSuffix(m[1], "*") && !slices.Contains(known, strings.TrimPrefix(m[1], "@")) {
				tb.Errorf("path %q", v.Path)
			}
		}
	}
}

// honest are answers as a worker gives them, to be damaged.
func honest() [][]byte {
	finding := string(framed(1824, 1, u2, first, first, root, first, first, "\x09Messaggio", byte(0x84), uint16(7), u0)[8:])
	return [][]byte{
		framed(u0, u0, root, "\x031.0", 0, payload),
		framed(u0, u2, root, u0, 31, `<s:Header a=">"></s:Header>    `, payload),
		framed(u1, u0, root, u0, 0, 3, byte(3), strings.Repeat(finding, 3)),
		framed(u1, u0, root, u0, 0, 1, u1, 1866, 7, u2, first, first, root, uint16(0), uint16(0), "\x09@versione", plain),
		framed(u1, u0, root, u0, 0, 1, u1, xmlschema.CodeMissingChild, 7, u1, first, first, root, u0, uint16(0), "\x09Messaggio"),
		framed(byte(xmlschema.Malformed), u0, u0, u0, 0, 7),
		framed(byte(xmlschema.TooLarge), u0, u0, u0, 0),
		framed(lotJudge, u0, lotRoot, "\x031.0", 0, u1, "\x031.0", len(item), item, u2, u0, "\x2449d9caa9-ef14-501b-938c-5db537c60e47",
			2, u2, strings.Repeat(string(framed(1824, 1, u2, first, first, "\x06Evento", first, first, "\x07Testata", byte(0x84), uint16(7), u0)[8:]), 2), u0, lotFrame),
	}
}

// modeOf is the mode that an honest answer is to.
func modeOf(which int) validator.Mode {
	if which == 1 {
		return validator.Envelope
	}
	return validator.Bare
}

// TestDamagedAnswersAreHarmless changes honest answers at random, many workers at a time.
func TestDamagedAnswersAreHarmless(t *testing.T) {
	t.Parallel()
	const answers = 600
	p := lying(t, 100*time.Millisecond)
	known := schemaNames(t)
	r := rand.New(rand.NewPCG(7, 8))
	told := map[string]int{}
	for which, b := range honest() {
		if _, err := p.Validate(t.Context(), validator.SinbaEventi, modeOf(which), lie('d', b)); codeOf(t, err) == hub.CodeValidatorDied {
			t.Errorf("honest answer %d is not believed", which)
		}
	}
	for range answers {
		which := r.IntN(len(honest()))
		b := slices.Clone(honest()[which])
		for range 1 + r.IntN(3) {
			at := 8 + r.IntN(len(b)-8)
			switch r.IntN(4) {
			case 0:
				b[at] = byte(r.IntN(256))
			case 1:
				b[at] ^= 1 << r.IntN(8)
			case 2:
				b = append(b[:at:at], append([]byte(mark), b[at:]...)...)
			case 3:
				b = b[:at+1]
			}
			if len(b) < 10 {
				break
			}
		}
		if r.IntN(4) > 0 { // mostly the length fits, so that the rest is read
			binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
		}
		flag := byte('d')
		if r.IntN(20) == 0 {
			flag = 'i'
		}
		doc := lie(flag, b)
		result, err := p.Validate(t.Context(), validator.SinbaEventi, modeOf(which), doc)
		believable(t, known, doc, result, err)
		told[string(codeOf(t, err))]++
	}
	if r, err := p.validate(t, "<good/>"); err != nil || string(r.Payload) != payload {
		t.Errorf("afterwards: %v", err)
	}
	t.Log(told)
}

// FuzzWorker: whatever bytes a worker answers with, what is told of them is believable.
func FuzzWorker(f *testing.F) {
	for _, b := range honest() {
		for mode := range uint8(validator.Judge + 1) {
			f.Add(b, mode)
		}
	}
	for _, b := range lies() {
		f.Add(b, uint8(validator.Bare))
	}
	p := lying(f, 200*time.Millisecond)
	known := schemaNames(f)
	f.Fuzz(func(t *testing.T, answer []byte, mode uint8) {
		doc := lie('d', answer)
		r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Mode(mode)%(validator.Judge+1), doc)
		believable(t, known, doc, r, err)
		if r, err := p.validate(t, "<good/>"); err != nil || string(r.Payload) != payload {
			t.Errorf("afterwards: %v", err)
		}
	})
}
