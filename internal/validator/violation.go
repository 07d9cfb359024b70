package validator

import (
	"strconv"
	"strings"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// violations turns findings into the contract's words; nil for none.
func violations(findings []xmlschema.Finding, names xmlschema.Names) (all []hub.Violation) {
	for _, f := range findings {
		all = append(all, violation(f, names))
	}
	return all
}

// violation turns a finding into the contract's words (AnomaliaType).
func violation(f xmlschema.Finding, names xmlschema.Names) hub.Violation {
	code, rule := codeOf(f.Code)
	v := hub.Violation{Code: code, Severity: hub.Grave, Rule: rule, Path: pathOf(f.Path), Line: f.Line}
	tell(&v, f, names)
	return v
}

// codeOf gives the contract's code and the name of the constraint in XML Schema 1.0, part 1 or
// 2, for libxml2's numbers (libxml/xmlerror.h, XML_SCHEMAV_...) and pkg/xmlschema's own.
func codeOf(number int) (code hub.Code, rule string) {
	switch number {
	case xmlschema.CodeBlanks:
		return hub.CodeSchemaBlanks, "cvc-datatype-valid.1"
	case xmlschema.CodeSplitValue:
		return hub.CodeSchemaContent, "cvc-simple-type"
	case xmlschema.CodeMissingChild, xmlschema.CodeMisplaced:
		return hub.CodeSchemaMissing, "cvc-complex-type.2.4"
	case xmlschema.CodeTooMany, xmlschema.CodeNamespace, elementContent:
		return hub.CodeSchemaUnexpected, "cvc-complex-type.2.4"
	}
	switch {
	case number >= 1822 && number <= 1840:
		return valueCodeOf(number)
	case number >= 1841 && number <= 1870 || number >= 1873 && number <= 1876:
		return structureCodeOf(number)
	case number == 1877: // CVC_IDC
		return hub.CodeSchemaOther, "cvc-identity-constraint"
	case number == 1878: // CVC_WILDCARD
		return hub.CodeSchemaUnexpected, "cvc-wildcard"
	}
	return hub.CodeSchemaOther, "cvc"
}

// valueCodeOf is for values that break their type.
func valueCodeOf(number int) (code hub.Code, rule string) {
	switch number {
	case 1824:
		return hub.CodeSchemaType, "cvc-datatype-valid.1.2.1"
	case 1825:
		return hub.CodeSchemaType, "cvc-datatype-valid.1.2.2"
	case 1826:
		return hub.CodeSchemaType, "cvc-datatype-valid.1.2.3"
	case 1827:
		return hub.CodeSchemaAttribute, "cvc-type.3.1.1"
	case 1828:
		return hub.CodeSchemaContent, "cvc-type.3.1.2"
	case 1830:
		return hub.CodeSchemaLength, "cvc-length-valid"
	case 1831:
		return hub.CodeSchemaLength, "cvc-minLength-valid"
	case 1832:
		return hub.CodeSchemaLength, "cvc-maxLength-valid"
	case 1833:
		return hub.CodeSchemaRange, "cvc-minInclusive-valid"
	case 1834:
		return hub.CodeSchemaRange, "cvc-maxInclusive-valid"
	case 1835:
		return hub.CodeSchemaRange, "cvc-minExclusive-valid"
	case 1836:
		return hub.CodeSchemaRange, "cvc-maxExclusive-valid"
	case 1837:
		return hub.CodeSchemaRange, "cvc-totalDigits-valid"
	case 1838:
		return hub.CodeSchemaRange, "cvc-fractionDigits-valid"
	case 1839:
		return hub.CodeSchemaPattern, "cvc-pattern-valid"
	case 1840:
		return hub.CodeSchemaEnumeration, "cvc-enumeration-valid"
	}
	return hub.CodeSchemaType, "cvc-facet-valid"
}

// structureCodeOf is for elements and attributes that are not as their type wants them.
func structureCodeOf(number int) (code hub.Code, rule string) {
	switch number {
	case 1841:
		return hub.CodeSchemaContent, "cvc-complex-type.2.1"
	case 1842:
		return hub.CodeSchemaContent, "cvc-complex-type.2.2"
	case 1843:
		return hub.CodeSchemaContent, "cvc-complex-type.2.3"
	case 1844:
		return hub.CodeSchemaUnexpected, "cvc-complex-type.2.4"
	case 1865:
		return hub.CodeSchemaAttribute, "cvc-complex-type.3.1"
	case 1866:
		return hub.CodeSchemaAttribute, "cvc-complex-type.3.2.1"
	case 1867:
		return hub.CodeSchemaAttribute, "cvc-complex-type.3.2.2"
	case 1868:
		return hub.CodeSchemaAttribute, "cvc-complex-type.4"
	case 1869, 1870:
		return hub.CodeSchemaAttribute, "cvc-complex-type.5"
	case 1861, 1862, 1863, 1864, 1874:
		return hub.CodeSchemaAttribute, "cvc-attribute"
	case 1873:
		return hub.CodeSchemaOther, "cvc-complex-type.1"
	case 1875, 1876:
		return hub.CodeSchemaOther, "cvc-type"
	}
	return hub.CodeSchemaOther, "cvc-elt" // 1845 to 1860
}

// pathOf writes a path as the contract does: local names, [n] from the second on, a name that
// the schema does not have as *[n], an attribute it does not have as @*.
func pathOf(steps []xmlschema.Step) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteByte('/')
		switch {
		case s.Name == "" && s.Pos == 0:
			b.WriteString("@*")
		case s.Name == "":
			b.WriteByte('*')
		default:
			b.WriteString(s.Name)
		}
		if s.Pos > 1 || s.Name == "" && s.Pos > 0 {
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(s.Pos))
			b.WriteByte(']')
		}
	}
	return b.String()
}
