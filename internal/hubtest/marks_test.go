//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// Every invented identity holds one of these: letters that no word of ours has, or a number too
// long to come about by itself.
const (
	sign       = "zqxjvk"
	signNumber = "867530941"
)

// Values too short to hold a sign; they are looked for between delimiters only.
const (
	markedBirth    = "2013-09-17"
	markedCAP      = "86753"
	markedComune   = "050997"
	markedCatasto  = "Z997"
	markedBelfiore = "M997"
)

// marks invents identities and knows how to find them again.
type marks struct {
	n int
	// ids are UUIDs that a sender gave; they may be stored and answered, not logged or forwarded.
	ids []string
	// secrets are passwords.
	secrets []string
	// accents has names written with accents over the sign's letters too, composed and decomposed.
	accents bool
}

// code is a codice fiscale with the right check character.
func (m *marks) code() string {
	m.n++
	first := fmt.Sprintf("ZQXJVK13P17Z%03d", m.n%1000)
	check, _ := codicefiscale.CheckCharacter(first)
	return first + string(check)
}

// provisional is an eleven-digit code with the right check digit.
func (m *marks) provisional() string {
	m.n++
	return provisional(m.n % 10)
}

func provisional(n int) string {
	for digit := range 10 {
		if code := fmt.Sprintf("%s%d%d", signNumber, n, digit); codicefiscale.CheckProvisional(code) == nil {
			return code
		}
	}
	panic("no check digit fits")
}

// foreign is an STP or ENI code.
func (m *marks) foreign(kind string) string {
	m.n++
	return fmt.Sprintf("%s090%s%d", kind, signNumber, m.n%10)
}

// text is a marked value of a free field.
func (m *marks) text(leaf string) string {
	m.n++
	return fmt.Sprintf("ZQXJVK.%s.%d", leaf[:min(len(leaf), 20)], m.n)
}

// name is a name of a person.
func (m *marks) name() string {
	m.n++
	forms := []string{"Zqxjvk D'Angelò %d"}
	if m.accents {
		forms = append(forms, "ZQXJVK %d", "zqxjvk %d", "Zq\u1e8b\u0135vk %d", "ZQ\u1e8a\u0134VK %d", "Zqx\u0307j\u0302vk %d")
	}
	return fmt.Sprintf(forms[m.n%len(forms)], m.n)
}

// id is a UUID that a sender gives.
func (m *marks) id() string {
	id := uuid.NewString()
	m.ids = append(m.ids, id)
	return id
}

// value marks every leaf that may hold more than a code of a closed list, a number, a date after
// birth, or a code of the registry without which the message would not be accepted.
func (m *marks) value(path, typ string) string {
	leaf := path[strings.LastIndex(path, "/")+1:]
	switch typ {
	case "UuidType":
		return m.id()
	case "GiornoType":
		if leaf == "DataNascita" {
			return markedBirth
		}
		return "2023-05-23"
	case "DataOraTzType":
		return "2023-05-24T10:11:12.131415+02:00"
	case "CodiceLocaleType":
		if leaf == "CodiceEnte" {
			return "SDS-PI"
		}
		return m.text(leaf)
	case "CodiceFiscaleType":
		return m.code()
	case "CodiceNumerico11Type":
		return m.provisional()
	case "CodiceSTPType", "CodiceENIType":
		return m.foreign(typ[len("Codice"):][:3])
	case "CodiceCatastaleType":
		if leaf == "LuogoNascita" {
			return markedCatasto
		}
		return markedBelfiore
	case "CodiceIstatComuneType":
		return markedComune
	case "CapType":
		return markedCAP
	case "Testo20Type":
		return "Zqxjvk-9.1"
	case "Testo50Type":
		return map[string]string{"Fornitore": "Alias2k", "Prodotto": "Gesocial"}[leaf]
	case "Testo100Type":
		return m.name()
	}
	return map[string]string{
		"CodiceNazioneType": "504", "CodicePrestazioneType": "A1.20", "ImportoType": "8675.31", "PositivoType": "1",
		"NumeroComponentiType": "4", "OreMensiliType": "12",
	}[typ]
}

// leak is a mark where none may be.
type leak struct{ place, mark, around string }

// find looks for marks of every kind in bytes. Letters count in either case; signs are also found
// in hexadecimal and base64.
func find(place string, data []byte) []leak {
	var leaks []leak
	lower := lowered(data)
	for _, pattern := range patterns() {
		if i := bytes.Index(lower, []byte(pattern)); i >= 0 {
			leaks = append(leaks, leak{place, pattern, around(data, i)})
		}
	}
	for _, pattern := range encodedPatterns() {
		if i := bytes.Index(data, []byte(pattern)); i >= 0 {
			leaks = append(leaks, leak{place, "base64 " + pattern, around(data, i)})
		}
	}
	return append(leaks, findDeep(place, data)...)
}

// patterns are the forms in which a mark may show, in lower case.
func patterns() []string {
	all := []string{sign, markedBirth, "stp090" + signNumber, "eni090" + signNumber}
	for _, text := range []string{sign, strings.ToUpper(sign), "Zqxjvk", signNumber} {
		all = append(all, hex.EncodeToString([]byte(text)))
	}
	for n := range 10 {
		all = append(all, provisional(n))
	}
	for _, short := range []string{markedCAP, markedComune, markedCatasto, markedBelfiore} {
		all = append(all, strings.ToLower(">"+short+"<"), strings.ToLower(`"`+short+`"`))
	}
	return all
}

// encodedPatterns are signs in the middle of a text in base64, for each of the three places where
// they may begin.
func encodedPatterns() []string {
	var all []string
	for _, text := range []string{strings.ToUpper(sign), "Zqxjvk", signNumber} {
		for lead, skip := range []int{0, 2, 3} {
			encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", lead) + text))
			all = append(all, encoded[skip:(lead+len(text))*8/6])
		}
	}
	return all
}

func around(data []byte, i int) string {
	return fmt.Sprintf("%q", data[max(0, i-60):min(len(data), i+60)])
}

// lowered is data with ASCII letters in lower case; other bytes stay, so that places agree.
func lowered(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		out[i] = b
	}
	return out
}

// findAny looks for texts as they are.
func findAny(place string, data []byte, texts []string) []leak {
	var leaks []leak
	for _, text := range texts {
		if i := bytes.Index(lowered(data), []byte(strings.ToLower(text))); i >= 0 {
			leaks = append(leaks, leak{place, text, around(data, i)})
		}
	}
	return leaks
}

// uuids are UUIDs as they are written.
var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// findIDs looks for some of very many UUIDs.
func findIDs(place string, data []byte, ids []string) []leak {
	known := make(map[string]bool, len(ids))
	for _, id := range ids {
		known[strings.ToLower(id)] = true
	}
	var leaks []leak
	for _, at := range uuids.FindAllIndex(lowered(data), -1) {
		if text := string(lowered(data[at[0]:at[1]])); known[text] {
			leaks = append(leaks, leak{place, text, around(data, at[0])})
		}
	}
	return leaks
}

// findRaw looks for UUIDs as their sixteen bytes.
func findRaw(place string, data []byte, ids []string) []leak {
	var leaks []leak
	for _, text := range ids {
		if id, err := uuid.Parse(text); err == nil {
			if i := bytes.Index(data, id[:]); i >= 0 {
				leaks = append(leaks, leak{place, text, around(data, i)})
			}
		}
	}
	return leaks
}
