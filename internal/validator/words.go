package validator

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// tell chooses the sentence of a violation and what it speaks of. All names, values and forms are
// the schema's; a worker only says where, and which child: a child that cannot stand there is not
// told, and without a sentence the code's own text is.
func tell(v *hub.Violation, f xmlschema.Finding, names xmlschema.Names) {
	if f.Value.Told {
		v.Kind, v.Length = hub.ValueKind(f.Value.Kind)|hub.Described, f.Value.Length
	}
	place, known := names.At(f.Path)
	if !known {
		tellUnknown(v, f, names)
		return
	}
	v.About = place.Name
	if v.Code == hub.CodeSchemaAttribute && strings.HasPrefix(place.Name, "@") && !f.Value.Told {
		// The schema's name, but not its attribute: it has a namespace, or stands elsewhere.
		tellUnknown(v, f, names)
		return
	}
	switch f.Code {
	case xmlschema.CodeMissingChild:
		tellMissing(v, f.Child, place)
	case xmlschema.CodeMisplaced:
		v.Reason, v.Next = "order", next(place.Among, place.Own)
	case xmlschema.CodeTooMany:
		tellTooMany(v, place)
	case xmlschema.CodeNamespace:
		v.Reason, v.Form = "namespace", names.Namespace
	case xmlschema.CodeBlanks:
		v.Reason = "around"
	case xmlschema.CodeSplitValue:
		v.Reason = "split"
	case elementContent:
		tellStray(v, f, names)
	case notNillable:
		v.Reason = "nil"
	case simpleWithElements, emptyWithContent:
		v.Reason = "element"
	case elementsWithText:
		v.Reason = "text"
	default:
		if place.Simple != nil && f.Value.Told {
			tellValue(v, place.Simple)
		}
	}
}

// Numbers of libxml2 that have a sentence (libxml/xmlerror.h).
const (
	simpleWithElements = 1828
	emptyWithContent   = 1841
	elementsWithText   = 1843
	notNillable        = 1847
	firstXsiType       = 1850 // to 1852
	lastXsiType        = 1852
	elementContent     = 1871
)

// tellUnknown is for an element or attribute that the schema does not have at its place.
func tellUnknown(v *hub.Violation, f xmlschema.Finding, names xmlschema.Names) {
	last := f.Path[len(f.Path)-1]
	if f.Code == elementContent {
		tellStray(v, f, names)
		return
	}
	parent, known := names.At(f.Path[:len(f.Path)-1])
	if !known || last.Pos != 0 {
		return
	}
	v.About = parent.Name
	switch {
	case f.Code >= firstXsiType && f.Code <= lastXsiType:
		v.Reason = "type"
	case v.Code == hub.CodeSchemaAttribute:
		v.Reason = "unknown"
	}
}

// tellStray is for an element that cannot stand in its parent.
func tellStray(v *hub.Violation, f xmlschema.Finding, names xmlschema.Names) {
	last := f.Path[len(f.Path)-1]
	parent, known := names.At(f.Path[:len(f.Path)-1])
	if !known || len(parent.Slots) == 0 {
		return
	}
	v.About, v.Reason, v.Form = parent.Name, "unknown", allowed(parent.Slots)
	if i := slotOf(parent.Slots, f.Child); i >= 0 {
		v.Reason, v.Form = "instead", strings.Join(parent.Slots[i].Names, "|")
	} else if last.Name != "" {
		v.About, v.Reason = last.Name, "place"
	}
}

// tellMissing is for an element that lacks a child, or has none at all.
func tellMissing(v *hub.Violation, child string, place xmlschema.Place) {
	if child == "" {
		v.Reason, v.Form = "empty", needed(place.Slots)
		return
	}
	i := slotOf(place.Slots, child)
	if i < 0 {
		return
	}
	v.Reason, v.About, v.Next = "missing", child, next(place.Slots, i)
	if all := place.Slots[i].Names; len(all) > 1 {
		v.Reason, v.Form = "one", strings.Join(all, "|")
	}
}

func tellTooMany(v *hub.Violation, place xmlschema.Place) {
	if len(place.Among) == 0 {
		return
	}
	own := place.Among[place.Own]
	switch {
	case len(own.Names) > 1:
		v.Reason, v.Form = "alternatives", strings.Join(own.Names, "|")
	case own.Most == 1:
		v.Reason = "twice"
	default:
		v.Reason, v.Form = "many", strconv.Itoa(own.Most)
	}
}

// tellValue is for a value that breaks its type.
func tellValue(v *hub.Violation, s *xmlschema.Simple) {
	ranged := s.Least != s.Most // of a fixed length the form says more
	tooLong, tooShort := ranged && s.Most > 0 && v.Length > s.Most, ranged && v.Length < s.Least
	v.Reason, v.Form = "form", s.Name
	switch {
	case v.Length == 0:
		v.Reason = "empty"
	case v.Code == hub.CodeSchemaEnumeration, v.Code == hub.CodeSchemaRange, v.Code == hub.CodeSchemaType:
	case tooLong:
		v.Reason, v.Form = "long", strconv.Itoa(s.Most)
	case tooShort:
		v.Reason, v.Form = "short", strconv.Itoa(s.Least)
	case v.Code == hub.CodeSchemaLength:
		v.Reason = "" // not what the parent sees in the schema
	}
	if len(s.Values) > 0 {
		v.Form = strings.Join(s.Values, "|")
	}
}

// slotOf is -1 if no slot has that element.
func slotOf(slots []xmlschema.Slot, name string) int {
	return slices.IndexFunc(slots, func(s xmlschema.Slot) bool { return slices.Contains(s.Names, name) })
}

// next gives the neighbours of a slot; a neighbour that is a choice is left out.
func next(slots []xmlschema.Slot, i int) string {
	var before, after string
	if i > 0 && len(slots[i-1].Names) == 1 {
		before = slots[i-1].Names[0]
	}
	if i+1 < len(slots) && len(slots[i+1].Names) == 1 {
		after = slots[i+1].Names[0]
	}
	if before == "" && after == "" {
		return ""
	}
	return before + "|" + after
}

// allowed lists the elements of all slots, needed those of the slots that must be filled.
func allowed(slots []xmlschema.Slot) string {
	var all []string
	for _, s := range slots {
		all = append(all, s.Names...)
	}
	return strings.Join(all, "|")
}

func needed(slots []xmlschema.Slot) string {
	return allowed(slices.DeleteFunc(slices.Clone(slots), func(s xmlschema.Slot) bool { return s.Least == 0 }))
}
