package xmlschema_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

const lotID = "49d9caa9-ef14-501b-938c-5db537c60e47"

// eventLot is the lot of the event contract.
func eventLot() xmlschema.Lot {
	return xmlschema.Lot{Root: "InviaLottoRichiesta", Item: "Evento", As: "InviaEventoRichiesta"}
}

func lotSchema(tb testing.TB) *xmlschema.Schema {
	tb.Helper()
	s, err := xmlschema.CompileWithLot("s.xsd", map[string][]byte{"s.xsd": read(tb, "../../xsd/sinba-eventi-v1.xsd")}, eventLot())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// asItem makes a sample event the item of a lot.
func asItem(event []byte) string {
	text := string(event)
	if strings.HasPrefix(text, "<?") {
		text = text[strings.Index(text, "?>")+2:]
	}
	return strings.ReplaceAll(strings.TrimSpace(text), "InviaEventoRichiesta", "Evento")
}

func lotOf(items ...string) []byte {
	return []byte(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>` + lotID + `</IdLotto>` + strings.Join(items, "\n") + `</InviaLottoRichiesta>`)
}

// TestItemsOfALotAreJudgedAsIfAlone: canonical bytes, findings, lines and paths of an item are those
// of the same element as a document, whatever its neighbours are.
func TestItemsOfALotAreJudgedAsIfAlone(t *testing.T) {
	t.Parallel()
	s := lotSchema(t)
	r := rand.New(rand.NewPCG(4, 2026))
	var all [][]byte
	documents := eventSamples(t)
	for _, name := range sortedKeys(documents) {
		if doc := documents[name]; bytes.Contains(doc, []byte("InviaEventoRichiesta xmlns")) {
			all = append(all, doc)
		}
	}
	m := mutator{r: r, names: []string{"Testata", "Evento", "IdEvento"}, types: []string{"TestataType"}}
	valid, invalid := 0, 0
	for range 500 {
		n := 1 + r.IntN(4)
		items, want := make([]string, n), make([]xmlschema.Verdict, n)
		ok := true
		for i := range n {
			doc := all[r.IntN(len(all))]
			if first := check(t, s, doc, xmlschema.Bare); first.Status > xmlschema.Invalid {
				ok = false
				break
			}
			if r.IntN(2) == 0 {
				mutant, _ := m.mutate(parse(t, doc))
				doc = []byte(mutant.String())
			}
			want[i] = check(t, s, doc, xmlschema.Bare)
			ok = ok && want[i].Status <= xmlschema.Invalid && bytes.Count(doc, []byte("InviaEventoRichiesta")) == 2 && bytes.HasPrefix(bytes.TrimSpace(doc), []byte("<InviaEventoRichiesta"))
			items[i] = asItem(doc)
		}
		if !ok {
			continue
		}
		got := check(t, s, lotOf(items...), xmlschema.Bare)
		if got.Status != xmlschema.LotJudged || got.Root != "InviaLottoRichiesta" || len(got.Items) != n {
			t.Fatalf("status %d, %d items of %d: %s", got.Status, len(got.Items), n, lotOf(items...))
		}
		if frame := string(got.Payload); strings.Contains(frame, "Evento>") || !strings.Contains(frame, lotID) {
			t.Errorf("frame %q", frame)
		}
		for i, item := range got.Items {
			if item.Payload != nil {
				valid++
			} else {
				invalid++
			}
			if payload := asItem(want[i].Payload); want[i].Payload != nil && payload != string(item.Payload) || want[i].Payload == nil && item.Payload != nil {
				t.Errorf("item %d: %s\nalone %s", i, item.Payload, payload)
			}
			if diff := cmp.Diff(alone(want[i].Findings), item.Findings); diff != "" || item.Total != want[i].Total || item.Version != want[i].Version {
				t.Errorf("item %d of %d: %s", i, n, diff)
			}
		}
	}
	if valid < 50 || invalid < 50 {
		t.Errorf("%d valid and %d invalid items tell little", valid, invalid)
	}
}

// alone are findings of a document as an item's.
func alone(findings []xmlschema.Finding) []xmlschema.Finding {
	for i := range findings {
		if findings[i].Path[0].Name == "InviaEventoRichiesta" {
			findings[i].Path[0].Name = "Evento"
		}
	}
	return findings
}

// TestLinesOfAnItemCountFromItsBeginning: 0 where libxml2 does not know them.
func TestLinesOfAnItemCountFromItsBeginning(t *testing.T) {
	t.Parallel()
	s := lotSchema(t)
	bad := "<Evento>\n<Testata>\n<IdMessaggio>x</IdMessaggio>\n</Testata>\n</Evento>"
	for blank, want := range map[int]int{0: 3, 7: 3, 70_000: 0} {
		v := check(t, s, lotOf(bad, strings.Repeat("\n", blank), bad), xmlschema.Bare)
		for i, line := range []int{3, want} {
			if len(v.Items) != 2 || v.Items[i].Total != 11 || v.Items[i].Findings[10].Line != line {
				t.Fatalf("after %d lines: %+v", blank, v.Items)
			}
		}
	}
}

// TestFrameOfALotIsJudgedWhole: whatever is wrong with it refuses the lot, and nothing of an item
// does.
func TestFrameOfALotIsJudgedWhole(t *testing.T) {
	t.Parallel()
	s := lotSchema(t)
	good := asItem(samples(t)["intervento.xml"])
	lot := string(lotOf(good, "<Evento/>"))
	const id = "<IdLotto>" + lotID + "</IdLotto>"
	for name, c := range map[string]struct {
		doc  string
		want string // paths of the frame's findings; none: judged
	}{
		"right":                     {lot, ""},
		"nothing but no events":     {string(lotOf("<Evento/>", "<Evento>x</Evento>", "<Evento><a/></Evento>", `<Evento a="b"/>`)), ""},
		"100 items":                 {string(lotOf(strings.Repeat("<Evento/>", 100))), ""},
		"101 items":                 {string(lotOf(strings.Repeat("<Evento/>", 101))), "/InviaLottoRichiesta/Evento[101]"},
		"no item":                   {string(lotOf()), "/InviaLottoRichiesta"},
		"no id":                     {strings.Replace(lot, id, "", 1), "/InviaLottoRichiesta"},
		"wrong id":                  {strings.Replace(lot, lotID, "x", 1), "/InviaLottoRichiesta/IdLotto"},
		"id with a remark":          {strings.Replace(lot, lotID, lotID[:5]+"<!-- -->"+lotID[5:], 1), "/InviaLottoRichiesta/IdLotto"},
		"attribute":                 {strings.Replace(lot, "<InviaLottoRichiesta", `<InviaLottoRichiesta Rossi="1"`, 1), "/InviaLottoRichiesta/@"},
		"text between":              {strings.Replace(lot, "<IdLotto>", "x<IdLotto>", 1), "/InviaLottoRichiesta"},
		"id behind the items":       {strings.Replace(strings.Replace(lot, id, "", 1), "</InviaLottoRichiesta>", id+"</InviaLottoRichiesta>", 1), "/InviaLottoRichiesta/IdLotto"},
		"two ids":                   {strings.Replace(lot, id, id+id, 1), "/InviaLottoRichiesta/IdLotto[2]"},
		"blanks around the id":      {strings.Replace(lot, lotID, " "+lotID, 1), "/InviaLottoRichiesta/IdLotto"},
		"another for the id":        {strings.ReplaceAll(lot, "IdLotto", "Rossi"), "/InviaLottoRichiesta/#1"},
		"other element":             {strings.Replace(lot, "</InviaLottoRichiesta>", "<Rossi/></InviaLottoRichiesta>", 1), "/InviaLottoRichiesta/#4"},
		"item of another namespace": {strings.Replace(lot, "<Evento/>", `<Evento xmlns="urn:x"/>`, 1), "/InviaLottoRichiesta/Evento[2]"},
		"type of another":           {strings.Replace(lot, "<InviaLottoRichiesta", `<InviaLottoRichiesta xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="EchoType"`, 1), "/InviaLottoRichiesta/@"},
	} {
		for _, doc := range [][]byte{[]byte(c.doc), envelope(soap11, []byte(c.doc)), envelope(soap12, []byte(c.doc))} {
			mode := xmlschema.Envelope
			if doc[1] == 'I' {
				mode = xmlschema.Bare
			}
			v := check(t, s, doc, mode)
			if c.want == "" {
				if v.Status != xmlschema.LotJudged {
					t.Errorf("%s: status %d, %+v", name, v.Status, v.Findings)
				}
				continue
			}
			if v.Status != xmlschema.Invalid || len(v.Items) > 0 || v.Total != 1 && name != "item of another namespace" || pathOf(v.Findings[0].Path) != c.want {
				t.Errorf("%s: status %d, %+v", name, v.Status, v.Findings)
			}
		}
	}
}

func pathOf(steps []xmlschema.Step) string {
	var b strings.Builder
	for _, s := range steps {
		switch {
		case s.Name == "" && s.Pos == 0:
			b.WriteString("/@")
		case s.Name == "":
			fmt.Fprintf(&b, "/#%d", s.Pos)
		case s.Pos > 1:
			fmt.Fprintf(&b, "/%s[%d]", s.Name, s.Pos)
		default:
			b.WriteString("/" + s.Name)
		}
	}
	return b.String()
}

// TestRefusedItemsAreToldByTheirID, and by nothing else in the place of one.
func TestRefusedItemsAreToldByTheirID(t *testing.T) {
	t.Parallel()
	s := lotSchema(t)
	testata := func(content string) string { return "<Evento><Testata>" + content + "</Testata></Evento>" }
	v := check(t, s, lotOf(
		testata("<IdEvento>"+lotID+"</IdEvento>"), testata("<IdEvento>"+strings.ToUpper(lotID)+"</IdEvento>"),
		testata("<IdEvento>RSSMRA85T10A562S</IdEvento>"), testata("<IdEvento>"+lotID+"0</IdEvento>"),
		testata("<IdEvento>"+lotID[:9]+"<b/>"+lotID[9:]+"</IdEvento>"), "<Evento><IdEvento>"+lotID+"</IdEvento></Evento>", "<Evento/>",
	), xmlschema.Bare)
	var got []string
	for _, i := range v.Items {
		got = append(got, i.ID)
	}
	if diff := cmp.Diff([]string{lotID, strings.ToUpper(lotID), "", "", "", "", ""}, got); diff != "" {
		t.Error(diff)
	}
}

// TestFindingsOfALotShareTheRoom: items with more violations than there is room for are all told
// of, each with some of them and with how many there were.
func TestFindingsOfALotShareTheRoom(t *testing.T) {
	t.Parallel()
	s := lotSchema(t)
	var attributes strings.Builder
	for i := range 120 {
		fmt.Fprintf(&attributes, ` a%d=""`, i)
	}
	deep := "<Evento><Testata" + attributes.String() + "/></Evento>"
	doc := lotOf(strings.Repeat(deep, 100))
	v := check(t, s, doc, xmlschema.Bare)
	if len(v.Items) != 100 {
		t.Fatalf("status %d, %d items", v.Status, len(v.Items))
	}
	for i, item := range v.Items {
		if len(item.Findings) < 20 || item.Total < 120 {
			t.Errorf("item %d: %d findings of %d", i, len(item.Findings), item.Total)
		}
	}
}

// TestBothWaysAgreeOnLots runs lots of good, broken and damaged events through the sanitized core by
// both ways.
func TestBothWaysAgreeOnLots(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	var items []string
	events := samples(t)
	for _, name := range sortedKeys(events) { // the same each time
		items = append(items, asItem(events[name]))
	}
	frames := appendFrame(eventFiles(t), 'l', []byte("InviaLottoRichiesta\x00Evento\x00InviaEventoRichiesta\x00"))
	const lots = 600
	for i := range lots {
		var own []string
		for range 1 + r.IntN(4) {
			own = append(own, items[r.IntN(len(items))])
		}
		doc := lotOf(own...)
		if i%3 > 0 {
			doc = envelope(soap12, doc)
		}
		for range r.IntN(4) { // a quarter is left whole
			at := r.IntN(len(doc))
			switch r.IntN(4) {
			case 0:
				doc[at] = `<>&"'/ =![]-?`[r.IntN(13)]
			case 1:
				doc[at] = byte(r.IntN(256))
			case 2:
				end := min(len(doc), at+r.IntN(200))
				doc = append(doc[:end:end], doc[at:]...)
			case 3:
				doc = doc[:at+1]
			}
		}
		frames = appendFrame(frames, 'd', doc)
	}
	short := 0
	lines := newHarness(t).run(t, frames)
	for _, line := range lines {
		if strings.HasPrefix(line, "9 ") && strings.HasSuffix(line, " 1") || strings.HasPrefix(line, "4 9 ") && strings.HasSuffix(line, " 2") {
			short++
		}
	}
	if len(lines) != lots || short < lots/10 {
		t.Errorf("%d answers, %d lots went the short way", len(lines), short)
	}
}

// TestMutatedLotsAreJudged: a lot damaged anywhere in its structure is told what is wrong, or its
// items are; none is beyond the judge.
func TestMutatedLotsAreJudged(t *testing.T) {
	t.Parallel()
	s := lotSchema(t)
	events := samples(t)
	var items []string
	for _, name := range sortedKeys(events) {
		items = append(items, asItem(events[name]))
	}
	m := mutator{r: rand.New(rand.NewPCG(5, 2026)), names: []string{"IdLotto", "Evento", "Testata"}, types: []string{"LottoType"}}
	told := map[xmlschema.Status]int{}
	for range 1500 {
		lot, _ := m.mutate(parse(t, lotOf(items[m.r.IntN(len(items))], "<Evento/>")))
		v := check(t, s, []byte(lot.String()), xmlschema.Bare)
		told[v.Status]++
	}
	if told[xmlschema.TooLarge] > 0 || told[xmlschema.Valid] > 0 || told[xmlschema.Invalid] < 20 || told[xmlschema.LotJudged] < 20 {
		t.Error(told)
	}
}
