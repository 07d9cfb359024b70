//go:build smoke

package hubtest_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// corpora is the folder of the public test vectors.
func corpora(t *testing.T) string {
	t.Helper()
	root := os.Getenv("SINBAHUB_CORPORA")
	if root == "" {
		t.Skip("SINBAHUB_CORPORA is not set: it names the folder with the public test vectors")
	}
	return root
}

// foreign makes a case of a document as it stands in a corpus; every other one is said to be SOAP
// 1.2.
func foreign(name string, body []byte, n int, code string) hostile {
	version := []soap.Version{soap.V11, soap.V12}[n%2]
	return hostile{name: name, body: body, version: version, status: http.StatusInternalServerError, fault: soap.Sender, code: code}
}

// asStranger is the same without credential.
func asStranger(c hostile) hostile {
	c.name += ", from a stranger"
	c.stranger, c.code, c.status, c.fault = true, "SINBA_101", http.StatusUnauthorized, soap.Sender
	c.answered = c.version // nobody reads a stranger's envelope
	c.total = 0
	change := c.change
	c.change = func(r *http.Request) {
		if change != nil {
			change(r)
		}
		r.Header.Del("Authorization")
	}
	return c
}

// readTable reads a tab-separated table with a heading.
func readTable(t *testing.T, path string) []map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	heads := strings.Split(lines[0], "\t")
	rows := make([]map[string]string, 0, len(lines))
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, value := range strings.Split(line, "\t") {
			row[heads[i]] = value
		}
		rows = append(rows, row)
	}
	return rows
}

// isUTF8 tells whether a document is UTF-8 and does not say otherwise.
func isUTF8(doc []byte) bool {
	declared := regexp.MustCompile(`^(?:\x{feff})?<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']`).FindSubmatch(doc)
	return utf8.Valid(doc) && bytes.IndexByte(doc, 0) < 0 && (declared == nil || strings.EqualFold(string(declared[1]), "utf-8"))
}

// hostileConformance is the W3C conformance suite. Its well-formed documents are no SOAP.
func hostileConformance(t *testing.T) []hostile {
	t.Helper()
	dir := filepath.Join(corpora(t), "02-xml-conformance")
	verdicts := map[string]string{"reject-doctype": "SINBA_003", "reject": "SINBA_001", "accept-wellformed": "SINBA_004", "any": "SINBA_004"}
	exceptions := map[string]string{
		// DOCTYPE stands in a comment and in instructions only.
		"o-p15pass1": "SINBA_004", "o-p16pass1": "SINBA_004",
		// What comes before the document type is broken.
		"o-p39fail5": "SINBA_001", "ibm-not-wf-P80-ibm80n03.xml": "SINBA_002",
		// Colons that XML allows in names and namespaces do not.
		"o-p04pass1": "SINBA_001", "o-p05pass1": "SINBA_001",
		// XML 1.1.
		"rmt-015": "SINBA_001", "rmt-017": "SINBA_001", "rmt-018": "SINBA_001", "rmt-056": "SINBA_001", "rmt-057": "SINBA_001",
		// Names of the fifth edition, which the suite judges by the fourth.
		"rmt-016": "SINBA_004", "rmt-019": "SINBA_004",
	}
	counts := map[string]int{}
	var cases []hostile
	for n, row := range readTable(t, filepath.Join(dir, "expected.tsv")) {
		body, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(row["path"])))
		if err != nil {
			t.Fatal(err)
		}
		verdict := row["expected_at_gateway"]
		counts[verdict]++
		code, special := exceptions[row["id"]]
		if !special {
			if code = verdicts[verdict]; !isUTF8(body) {
				code = "SINBA_002"
			}
		}
		c := foreign("02 "+row["id"], body, n, code)
		if cases = append(cases, c); n%25 == 0 {
			cases = append(cases, asStranger(c))
		}
	}
	if counts["reject-doctype"] != 759 || counts["reject"] != 317 {
		t.Fatalf("not the suite that the issue names: %v", counts)
	}
	return cases
}

// hostileAttacks is everything in 04, attack or not. What is not listed here is not XML or not
// well-formed.
func hostileAttacks(t *testing.T) []hostile {
	t.Helper()
	dir := filepath.Join(corpora(t), "04-xml-attacks")
	doctype := regexp.MustCompile(`(?s)^(?:\x{feff})?(?:\s|<\?.*?\?>|<!--.*?-->)*<!DOCTYPE`)
	wellFormed := regexp.MustCompile(`^(libxml2-xinclude/.*\.(xml|ent)|xroad/test-(part\.xml|conf\.xsd)|defusedxml/(simple|schema).*)$`)
	exceptions := map[string]string{
		// Names of thousands of bytes.
		"libxml2-errors/758588.xml": "SINBA_005", "libxml2-errors/attr6.xml": "SINBA_005",
		"libxml2-errors/name.xml": "SINBA_005", "libxml2-errors/name2.xml": "SINBA_005",
		// Its document type comes behind its root.
		"payloadsallthethings-xxe/Files/XXE OOB Attack (Yunusov, 2013).xml": "SINBA_003",
	}
	var cases []hostile
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		code, special := exceptions[filepath.ToSlash(name)]
		switch {
		case special:
		case !isUTF8(body):
			code = "SINBA_002"
		case doctype.Match(body):
			code = "SINBA_003"
		case wellFormed.MatchString(filepath.ToSlash(name)):
			code = "SINBA_004"
		default:
			code = "SINBA_001"
		}
		c := foreign("04 "+name, body, len(cases), code)
		if cases = append(cases, c); len(cases)%10 == 0 {
			cases = append(cases, asStranger(c))
		}
		return nil
	})
	if err != nil || len(cases) < 144 {
		t.Fatalf("%d documents: %v", len(cases), err)
	}
	return cases
}

// hostileMessages is everything in 06: messages of X-Road, node-soap and WSS4J, whose
// operations are not ours, and what comes with them. Those with attachments are sent twice, once as
// what they are.
func hostileMessages(t *testing.T) []hostile {
	t.Helper()
	dir := filepath.Join(corpora(t), "06-soap-messages")
	const samples = "node-soap-samples/"
	exceptions := map[string]string{
		// No Body with one element.
		"xroad-queries/malformed-body1.query": "SINBA_004", "xroad-queries/malformed-body2.query": "SINBA_004",
		"xroad-queries/missing-body.query": "SINBA_004", "wss4j/SignaturePrefixListMessage.xml": "SINBA_004",
		// Prefixes that are not declared, and names with two colons.
		samples + "attachments__should_send_binary_data/soap.wsdl":                                              "SINBA_001",
		samples + "addPets__force_namespaces/request.xml":                                                       "SINBA_001",
		samples + "GET_DATA__should_work_with_more_deeply_nested_XML_messages_and_without_security/request.xml": "SINBA_001",
		samples + "SetResource__should_correctly_set_element_if_complex-type_has_same_name/response.xml":        "SINBA_001",
		samples + "login__complex_schema_xmlns_with_array_and_any_type_and_other_types/soap.platform.core.xsd":  "SINBA_001",
		samples + "Dummy__should_use_defined_xml_key_in_first_level_for_rpc/soap.wsdl":                          "SINBA_001",
	}
	var cases []hostile
	for n, row := range readTable(t, filepath.Join(dir, "inventory.tsv")) {
		body, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(row["file"])))
		if err != nil {
			t.Fatal(err)
		}
		code, special := exceptions[row["file"]]
		switch {
		case special:
		case !isUTF8(body):
			code = "SINBA_002"
		case row["doctype"] == "yes":
			code = "SINBA_003"
		case row["xmllint_2.9.14"] != "well-formed":
			code = "SINBA_001"
		case row["kind"] != "xml" || row["soap"] == "":
			code = "SINBA_004"
		default:
			code = "SINBA_010"
		}
		c := foreign("06 "+row["file"], body, n, code)
		if row["kind"] == "xml" && row["soap"] != "" && code > "SINBA_003" {
			c.answered = map[bool]soap.Version{true: soap.V11, false: soap.V12}[bytes.Contains(body, []byte(soap.Namespace11))]
		}
		cases = append(cases, c)
		if row["kind"] == "mime" {
			c := foreign(c.name+", as multipart", body, 0, "SINBA_007")
			c.status, c.change = http.StatusUnsupportedMediaType, header("Content-Type", `multipart/related; type="text/xml"; boundary="xqzvkj"`)
			cases = append(cases, c)
		}
		if n%10 == 0 {
			cases = append(cases, asStranger(c))
		}
	}
	return cases
}
