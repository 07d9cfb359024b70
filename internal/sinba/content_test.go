package sinba_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestContentHasOneLineForEachLeafThatCounts(t *testing.T) {
	t.Parallel()
	doc := sample(t, "valutazione")
	got := strings.Split(strings.TrimSuffix(string(read(t, doc).Content()), "\n"), "\n")
	leaves, err := standardLeaves([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, leaf := range leaves {
		if leaf.Path == "/Testata/IdMessaggio" || leaf.Path == "/Testata/DataOraInvio" || strings.HasPrefix(leaf.Path, "/Mittente/Applicativo/") {
			continue
		}
		want = append(want, leaf.Path+"="+leaf.Value)
	}
	if len(got) != len(want) {
		t.Fatal(len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] && !strings.HasPrefix(got[i], "/Testata/DataOraEvento=") {
			t.Error(got[i], want[i])
		}
	}
	if !strings.Contains(strings.Join(got, "\n"), "/Dettaglio/Valutazione/ValutazioneMinore[2]=") {
		t.Error("no position")
	}
}

func TestContentComparesValuesNotSpellings(t *testing.T) {
	t.Parallel()
	base := sample(t, "intervento")
	with := func(name, value string) string { return set(t, base, name, value) }
	amount := func(value string) string { return with("ImportoMensile", value) }
	same := map[string][2]string{
		"root":               {base, strings.ReplaceAll(base, "InviaEventoRichiesta", "VerificaEventoRichiesta")},
		"lot":                {base, strings.ReplaceAll(base, "InviaEventoRichiesta", "Evento")},
		"version":            {base, change(t, base, ` versione="1.0"`, "")},
		"message id":         {base, with("IdMessaggio", "00000000-0000-4000-8000-000000000001")},
		"sent":               {base, with("DataOraInvio", "2024-12-31T00:00:00Z")},
		"vendor":             {base, with("Fornitore", "Un altro")},
		"product":            {base, with("Prodotto", "Sili")},
		"product version":    {base, with("Versione", "6.0")},
		"blanks":             {base, strings.ReplaceAll(base, "><Testata>", ">\n  <Testata>")},
		"prefix":             {base, strings.NewReplacer("</", "</s:", "<", "<s:", "xmlns=", "xmlns:s=").Replace(base)},
		"uuid case":          {with("IdEvento", "abcdefab-0000-4000-8000-00000000000f"), with("IdEvento", "ABCDEFAB-0000-4000-8000-00000000000F")},
		"date zone Z":        {with("DataApertura", "2024-04-08"), with("DataApertura", "2024-04-08Z")},
		"date zone":          {with("DataApertura", "2024-04-08"), with("DataApertura", "2024-04-08-14:00")},
		"date blanks":        {with("DataApertura", "2024-04-08"), with("DataApertura", " 2024-04-08 ")},
		"instant zone":       {with("DataOraEvento", "2024-05-01T00:30:00+02:00"), with("DataOraEvento", "2024-04-30T22:30:00Z")},
		"instant zone west":  {with("DataOraEvento", "2023-12-31T23:30:00-05:45"), with("DataOraEvento", "2024-01-01T05:15:00+00:00")},
		"instant zeros":      {with("DataOraEvento", "2024-05-01T00:30:00.500Z"), with("DataOraEvento", "2024-05-01T00:30:00.5Z")},
		"instant zeros only": {with("DataOraEvento", "2024-05-01T00:30:00.000000000Z"), with("DataOraEvento", "2024-05-01T00:30:00Z")},
		"number":             {with("ProgressivoCartella", "7"), with("ProgressivoCartella", "+007")},
		"zero hours":         {with("OreServizioMensile", "0"), with("OreServizioMensile", "-00")},
		"decimal zeros":      {amount("12.5"), amount("012.50")},
		"decimal point":      {amount("12"), amount("12.")},
		"decimal no whole":   {amount("0.5"), amount(".50")},
		"decimal sign":       {amount("12"), amount("+12.00")},
		"decimal zero":       {amount("0"), amount("-0.00")},
	}
	for name, pair := range same {
		if a, b := read(t, pair[0]).Content(), read(t, pair[1]).Content(); string(a) != string(b) {
			t.Errorf("%s differs", name)
		}
	}
	other := map[string][2]string{
		"event id":    {base, with("IdEvento", "00000000-0000-4000-8000-000000000001")},
		"instant":     {with("DataOraEvento", "2024-05-01T00:30:00+02:00"), with("DataOraEvento", "2024-05-01T00:30:00Z")},
		"fraction":    {with("DataOraEvento", "2024-05-01T00:30:00.5Z"), with("DataOraEvento", "2024-05-01T00:30:00.05Z")},
		"day":         {with("DataApertura", "2024-04-08"), with("DataApertura", "2024-04-09")},
		"decimal":     {amount("12.5"), amount("12.05")},
		"ten":         {amount("10"), amount("1")},
		"case of id":  {with("IdCartella", "a"), with("IdCartella", "A")},
		"leading 0":   {with("IdCartella", "1"), with("IdCartella", "01")},
		"ente name":   {base, with("Denominazione", "Altro")},
		"environment": {base, change(t, base, "</DataOraInvio>", "</DataOraInvio><Ambiente>PROD</Ambiente>")},
		"leaf gone":   {base, with("ImportoMensile", "")},
	}
	for name, pair := range other {
		if a, b := read(t, pair[0]).Content(), read(t, pair[1]).Content(); string(a) == string(b) {
			t.Errorf("%s is the same", name)
		}
	}
}

func TestContentWritesValuesInOneForm(t *testing.T) {
	t.Parallel()
	doc := set(t, sample(t, "intervento"), "DataOraEvento", "2024-03-31T02:30:00.120+14:00")
	doc = set(t, doc, "DataApertura", "2024-02-29+02:00")
	doc = set(t, doc, "ImportoMensile", "+0012.50")
	doc = set(t, doc, "OreServizioMensile", "012")
	doc = set(t, doc, "IdEvento", "ABCDEFAB-0000-4000-8000-00000000000F")
	doc = set(t, doc, "Denominazione", "A &amp; B &lt;c&gt;")
	content := string(read(t, doc).Content())
	for _, line := range []string{
		"/Testata/DataOraEvento=2024-03-30T12:30:00.12Z\n",
		"/Cartella/DataApertura=2024-02-29\n",
		"/Dettaglio/Intervento/ImportoMensile=12.5\n",
		"/Dettaglio/Intervento/OreServizioMensile=12\n",
		"/Testata/IdEvento=abcdefab-0000-4000-8000-00000000000f\n",
		"/Mittente/Ente/Denominazione=A & B <c>\n",
	} {
		if !strings.Contains(content, line) {
			t.Errorf("no %s", line)
		}
	}
}

// TestContentIsTheSameInEveryDress: prefixes, blanks and root do not matter for any event.
func TestContentIsTheSameInEveryDress(t *testing.T) {
	t.Parallel()
	c := load(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := random(t, rt)
		g.prefix = ""
		g.between = func() string { return "" }
		doc, _ := g.generate("InviaEventoRichiesta")
		ev, err := c.Read([]byte(doc))
		if err != nil {
			rt.Fatal(err)
		}
		dressed := strings.NewReplacer("</", "\n</q:", "<", "<q:", "xmlns=", "xmlns:q=", "InviaEventoRichiesta", "Evento").Replace(doc)
		// White space belongs between elements only.
		for _, leaf := range eventLeaves(ev) {
			name := withoutPositions(leaf.Path[strings.LastIndex(leaf.Path, "/")+1:])
			dressed = strings.ReplaceAll(dressed, "\n</q:"+name+">", "</q:"+name+">")
		}
		other, err := c.Read([]byte(dressed))
		if err != nil {
			rt.Fatal(err)
		}
		if string(ev.Content()) != string(other.Content()) {
			rt.Fatal("content differs")
		}
	})
}
