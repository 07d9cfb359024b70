package codelist

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
)

// The lists that every binary brings; data/README.md names their sources.
//
//go:embed data/comuni.tsv
var builtinMunicipalities []byte

//go:embed data/nazioni.tsv
var builtinStates []byte

// Files are the texts of lists by name. They are not changed.
type Files map[string][]byte

// Builtin gives the lists inside the binary: municipalities and states.
func Builtin() Files {
	return Files{Municipalities: builtinMunicipalities, States: builtinStates}
}

// Default gives the set of the lists inside the binary, parsed once.
func Default() *Set { return parseBuiltin() }

var parseBuiltin = sync.OnceValue(func() *Set { //nolint:gochecknoglobals // never changed once made
	s, err := Parse(Builtin())
	if err != nil {
		panic(err) // a test parses them
	}
	return s
})

// maxFile bounds one list.
const maxFile = 16 << 20

// errRead says that the folder or a file of it could not be read, which is no fault of its content.
var errRead = errors.New("a file of the reference data cannot be read")

// Read gives the lists in a folder, unparsed. What is no list is a fault, so that a misspelt name
// cannot be overlooked; names with a point in front and README, LICENSE or NOTICE are let be. A
// folder without any list is a fault too: it is most often another folder than was meant.
func Read(folder fs.FS) (Files, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, errRead
	}
	files := Files{}
	var faults FaultsError
	for _, e := range entries {
		name := e.Name()
		if !slices.Contains(Names(), name) {
			if !ignored(name) {
				faults = append(faults, Fault{File: "the folder", Text: "holds something that is no list; lists are " + strings.Join(Names(), ", ")})
			}
			continue
		}
		text, err := readFile(folder, name)
		if err != nil {
			return nil, err
		}
		if len(text) > maxFile {
			faults = append(faults, Fault{File: name, Text: "is larger than 16 MiB"})
		}
		files[name] = text
	}
	if len(files) == 0 {
		faults = append(faults, Fault{File: "the folder", Text: "holds no list; lists are " + strings.Join(Names(), ", ")})
	}
	if len(faults) > 0 {
		return nil, slices.Compact(faults)
	}
	return files, nil
}

// With gives the files with those of other put in the place of the same names.
func (f Files) With(other Files) Files {
	all := maps.Clone(f)
	maps.Copy(all, other)
	return all
}

// readFile reads at most a little more than a list may have.
func readFile(folder fs.FS, name string) ([]byte, error) {
	file, err := folder.Open(name)
	if err != nil {
		return nil, errRead
	}
	defer file.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, errRead
	}
	return text, nil
}

// ignored tells whether a file in the folder is none of ours.
func ignored(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	return stem == "" || stem == "README" || stem == "LICENSE" || stem == "NOTICE"
}

// Version is the digest of all files: the first 12 hexadecimal digits of the SHA-256 over name,
// length and text of each, in the order of their names.
func (f Files) Version() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f)) {
		_, _ = h.Write(append([]byte(name), 0))
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(f[name]))))
		_, _ = h.Write(f[name])
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// Parse makes a set of files, or gives every fault of every file as FaultsError.
func Parse(files Files) (*Set, error) {
	s := &Set{version: files.Version(), files: files, own: map[string][]entry{}}
	var faults FaultsError
	for _, list := range Names() {
		text, ok := files[list]
		if !ok {
			continue
		}
		rows, wrong := parse(list, text)
		faults = append(faults, wrong...)
		switch list {
		case Municipalities:
			s.addMunicipalities(rows)
		case States:
			s.addStates(rows)
		default:
			s.addOwn(list, rows)
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	s.sort()
	return s, nil
}

func (s *Set) addMunicipalities(rows []row) {
	s.municipalities = make([]period, 0, len(rows))
	s.places = make([]period, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		code, _ := number([]byte(r.fields[0]), 6)
		region, _ := number([]byte(r.fields[5]), 2)
		s.municipalities = append(s.municipalities, period{code: code, from: r.from, to: r.to, region: uint8(region)}) //nolint:gosec // at most 21
		s.addPlace(r)
	}
}

func (s *Set) addStates(rows []row) {
	for i := range rows {
		r := &rows[i]
		if code, ok := number([]byte(r.fields[0]), 3); ok {
			s.nations = append(s.nations, period{code: code, from: r.from, to: r.to})
			s.nationsAll = append(s.nationsAll, r.fields[0])
			if r.fields[4] == "si" {
				s.nationsEU = append(s.nationsEU, r.fields[0])
			}
			if r.fields[5] == "si" {
				s.nationsFrequent = append(s.nationsFrequent, r.fields[0])
			}
		}
		s.addPlace(r)
	}
}

// addPlace adds the belfiore code of a row, if it has one.
func (s *Set) addPlace(r *row) {
	if code, ok := packBelfiore([]byte(r.fields[1])); ok {
		s.places = append(s.places, period{code: code, from: r.from, to: r.to})
	}
}

func (s *Set) addOwn(list string, rows []row) {
	for i := range rows {
		s.own[list] = append(s.own[list], entry{rows[i].key, rows[i].from, rows[i].to})
	}
}

// sort brings everything into the order of the look-ups, and joins the periods of a belfiore code
// that follow each other: a municipality that changed its province keeps the code.
func (s *Set) sort() {
	byCode := func(a, b period) int { return cmp.Or(cmp.Compare(a.code, b.code), cmp.Compare(a.from, b.from)) }
	slices.SortFunc(s.municipalities, byCode)
	slices.SortFunc(s.nations, byCode)
	slices.SortFunc(s.places, byCode)
	joined := s.places[:0]
	for _, p := range s.places {
		if n := len(joined); n > 0 && joined[n-1].code == p.code && p.from <= next(joined[n-1].to) {
			joined[n-1].to = max(joined[n-1].to, p.to)
			continue
		}
		joined = append(joined, p)
	}
	s.places = slices.Clip(slices.Clone(joined))
	for _, rows := range s.own {
		slices.SortFunc(rows, func(a, b entry) int { return cmp.Or(strings.Compare(a.code, b.code), cmp.Compare(a.from, b.from)) })
	}
	for _, codes := range []*[]string{&s.nationsAll, &s.nationsEU, &s.nationsFrequent} {
		slices.Sort(*codes)
		*codes = slices.Compact(*codes)
	}
}
