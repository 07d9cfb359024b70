//go:build smoke

package hubtest_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// The limits of the pass over the bytes (soap.DefaultLimits), as the contract's readers know them.
const (
	limitBytes      = 2 << 20
	limitDepth      = 64
	limitElements   = 200_000
	limitAttributes = 128
	limitNamespaces = 64
	limitScope      = 128
	limitName       = 256
	limitText       = 64 << 10
	limitMisc       = 1_000
)

// flood makes a case of a Body's content, or with several of them in the header as well.
func flood(name, content, code string) hostile {
	return hostile{
		name: name, body: soap.AppendEnvelope(nil, soap.V12, []byte(content)), version: soap.V12,
		status: http.StatusInternalServerError, fault: soap.Sender, code: code,
	}
}

// repeated writes a format once for each number.
func repeated(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// nested puts content into so many elements, each with these attributes.
func nested(depth int, attributes, content string) string {
	return strings.Repeat("<e"+attributes+">", depth) + content + strings.Repeat("</e>", depth)
}

// The floods by number of what they consist of.
func floodOf(what string, n int) string {
	switch what {
	case "attributes":
		return "<xqzvkj" + repeated(n, ` xqzvkj%d=""`) + "/>"
	case "namespaces":
		return "<xqzvkj" + repeated(n, ` xmlns:p%d="u"`) + "/>"
	case "namespaces in scope":
		depth := min(max(4, n/50), limitDepth-2)
		return nested(depth, repeated(n/depth, ` xmlns:p%d="u"`), "<xqzvkj/>")
	case "depth":
		return nested(n, "", "")
	case "name":
		return "<xqzvkj" + strings.Repeat("n", n-6) + "/>"
	case "attribute name":
		return "<a xqzvkj" + strings.Repeat("n", n-6) + `="1"/>`
	case "prefix":
		return "<xqzvkj" + strings.Repeat("p", n-6-2) + ":a/>"
	case "instruction name":
		return "<a><?xqzvkj" + strings.Repeat("n", n-6) + "?></a>"
	case "instructions":
		return "<a>" + strings.Repeat("<?xqzvkj?>", n) + "</a>"
	case "comments":
		return "<a>" + strings.Repeat("<!--xqzvkj-->", n) + "</a>"
	case "sections":
		return "<a>" + strings.Repeat("<![CDATA[xqzvkj]]>", n) + "</a>"
	case "elements":
		return "<a>" + strings.Repeat("<xqzvkj/>", n-1) + "</a>"
	case "names":
		return "<a>" + repeated(n-1, "<xqzvkj%d/>") + "</a>"
	case "text":
		return "<a>" + strings.Repeat("x", n) + "</a>"
	case "value":
		return `<a b="` + strings.Repeat("x", n) + `"/>`
	case "comment":
		return "<a><!--" + strings.Repeat("x", n) + "--></a>"
	case "instruction":
		return "<a><?x " + strings.Repeat("x", n-2) + "?></a>"
	case "section":
		return "<a><![CDATA[" + strings.Repeat("x", n) + "]]></a>"
	}
	panic("no flood of " + what)
}

// hostileFloods are those of the issue, 2,000 to 100,000 of each, and those that are only costly:
// they keep to every limit. All are refused, because their element is none of ours.
func hostileFloods() []hostile {
	var cases []hostile
	for _, what := range []string{
		"attributes", "namespaces", "namespaces in scope", "depth", "name", "attribute name", "prefix",
		"instruction name", "instructions", "comments", "sections",
	} {
		for _, n := range []int{2_000, 10_000, 50_000, 100_000} {
			cases = append(cases, flood(fmt.Sprintf("%d %s", n, what), floodOf(what, n), "SINBA_005"))
		}
	}
	for _, n := range []int{2_000, 10_000, 50_000, 100_000} {
		cases = append(cases, flood(fmt.Sprintf("%d elements", n), floodOf("elements", n), "SINBA_010"),
			flood(fmt.Sprintf("%d names", n), floodOf("names", n), "SINBA_010"))
	}
	for _, place := range []string{"<soap:Body>", "<soap:Envelope", "<InviaEventoRichiesta"} {
		c := flood("50000 attributes at "+place, floodOf("attributes", 50_000), "SINBA_005")
		c.body = []byte(strings.Replace(string(good(soap.V12)), place, place[:len(place)-1]+" "+repeated(50_000, ` xqzvkj%d=""`)+place[len(place)-1:], 1))
		if place[len(place)-1] != '>' {
			c.body = []byte(strings.Replace(string(good(soap.V12)), place, place+repeated(50_000, ` xqzvkj%d=""`), 1))
		}
		cases = append(cases, c)
	}
	return slices.Concat(cases, costly(room), brokenAll(room))
}

// room is what fits beside an envelope.
const room = limitBytes - 200

// filled repeats a piece up to a size, but not beyond a number.
func filled(size int, piece string, most int) string {
	return "<a>" + strings.Repeat(piece, min(size/len(piece), most)) + "</a>"
}

// inTexts repeats a piece in texts below the limit of a text, up to a size.
func inTexts(size int, piece string) string {
	return filled(size, strings.Repeat(piece, limitText/len(piece))+"<b/>", limitElements)
}

// counted writes a format once for each number, up to a size.
func counted(size int, format string) string {
	var b strings.Builder
	for i := 0; b.Len() < size-len(format)-10 && i < limitElements-3; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return "<a>" + b.String() + "</a>"
}

// costly are documents of about a size that keep a parser busy for as long as may be, each within
// the limits.
func costly(size int) []hostile {
	scope := func(element string) string {
		return nested(2, repeated(limitNamespaces-1, ` xmlns:p%[1]d="u:%[1]d"`), strings.Repeat(element, min((size-3_000)/len(element), limitElements-4)))
	}
	return fromContents("SINBA_010", map[string]string{
		"most elements":              filled(size, "<b/>", limitElements-3),
		"most names":                 counted(size, "<b%d/>"),
		"most attribute names":       counted(size, `<b c%d=""/>`),
		"most attributes":            filled(size, "<b"+repeated(limitAttributes, ` a%d=""`)+"/>", limitElements-3),
		"most namespaces":            counted(size, `<b xmlns="u:%d"/>`),
		"most ids":                   counted(size, `<b xml:id="i%d"/>`),
		"most references":            inTexts(size, "&#65;"),
		"most line breaks":           inTexts(size, "\r\n"),
		"most instructions":          filled(size, "<?xqzvkj "+strings.Repeat("x", 2_000)+"?>", limitMisc-1),
		"longest namespaces":         filled(size, `<b xmlns:a="u:`+strings.Repeat("x", 60_000)+`"/>`, limitElements),
		"names looked for in scope":  scope("<p0:b/>"),
		"values looked for in scope": scope("<b" + repeated(60, ` p%d:a=""`) + "/>"),
	})
}

// brokenAll are documents of about a size in which a parser finds a fault in every line, or what the
// pass over the bytes took for a comment, a value or a tag.
func brokenAll(size int) []hostile {
	contents := map[string]string{
		"most entities":            inTexts(size, "&a;"),
		"most ampersands":          inTexts(size, "& "),
		"most null references":     inTexts(size, "&#0;"),
		"most ends of sections":    inTexts(size, "]]>"),
		"most undeclared prefixes": filled(size, "<a:b/>", limitElements-3),
		"most duplicates":          filled(size, "<b"+strings.Repeat(` a=""`, limitAttributes)+"/>", limitElements-3),
		"most wrong ends":          filled(size, "<b></c>", limitElements-3),
		"most wrong namespaces":    filled(size, `<b xmlns:a=""/>`, limitElements-3),
		"hyphens in comments":      filled(size, "<!--"+strings.Repeat("-- ", 20_000)+"-->", limitMisc-1),
		"open brackets":            strings.Repeat("<", size),
		"open tags":                strings.Repeat("<b", size/2),
	}
	hidden := "<b" + repeated(6_000, " a%d=''") + "/>"
	for name, around := range map[string][2]string{
		"a comment": {"<!--\x01", "-->"}, "an instruction": {"<?", "?>"}, "a section": {"<![CDATA[\x01", "]]>"},
		"a value": {`<b a="`, `"/>`}, "a value after a broken one": {`<b a=1 c="`, `"/>`}, "an end tag": {"<b></b ", ">"},
	} {
		contents["attributes hidden in "+name] = filled(size, around[0]+hidden+around[1], 25)
	}
	return fromContents("SINBA_001", contents)
}

// fromContents makes cases of Bodies' contents, in the order of their names.
func fromContents(code string, contents map[string]string) []hostile {
	var cases []hostile
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		cases = append(cases, flood(name, contents[name], code))
	}
	return cases
}

// hostileLimits stand just below and just above each limit.
func hostileLimits() []hostile {
	var cases []hostile
	for what, limit := range map[string]int{
		"attributes": limitAttributes, "namespaces": limitNamespaces, "namespaces in scope": limitScope - 4,
		"depth": limitDepth - 2, "name": limitName, "attribute name": limitName, "instruction name": limitName,
		"instructions": limitMisc - 1, "comments": limitMisc - 1, "sections": limitMisc - 1, "elements": limitElements - 2,
		"text": limitText, "value": limitText, "comment": limitText, "instruction": limitText, "section": limitText,
	} {
		over := limit + 1
		if what == "namespaces in scope" {
			over = limitScope // four at a time, and the envelope has one
		}
		cases = append(cases, flood(fmt.Sprintf("%d, the most %s", limit, what), floodOf(what, limit), "SINBA_010"),
			flood(fmt.Sprintf("%d %s, one too many", over, what), floodOf(what, over), "SINBA_005"))
	}
	for name, size := range map[string]int{"2 MiB": limitBytes, "a byte more than 2 MiB": limitBytes + 1} {
		c := flood(name, "<a/>", "SINBA_010")
		c.body = append(c.body, strings.Repeat(" ", size-len(c.body)-1)...)
		c.body = append(c.body, '\n')
		for at := len(c.body) - limitText; at > 300; at -= limitText {
			copy(c.body[at:], "<!-- -->")
		}
		if size > limitBytes {
			c.code, c.status = "SINBA_006", http.StatusRequestEntityTooLarge
			unknown := c
			unknown.name += ", of unknown length"
			unknown.change = chunked
			cases = append(cases, unknown)
		}
		cases = append(cases, c)
	}
	return cases
}
