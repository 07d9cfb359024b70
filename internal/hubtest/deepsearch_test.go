//go:build e2e || smoke

package hubtest_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// maxLeaks bounds what is told of one place: where a hundred marks stand, more say nothing new.
const maxLeaks = 100

// maxUnpacked bounds what one packed text may unpack to.
const maxUnpacked = 64 << 20

// deepSigns are the signs of all invented identities in lower case, the one of letters also with accents,
// composed (NFC, of both cases) and decomposed (NFD). Bytes are compared after lowered, which knows ASCII only.
func deepSigns() []string {
	return []string{sign, signNumber, "zq\u1e8b\u0135vk", "zq\u1e8a\u0134vk", "zqx\u0307j\u0302vk"}
}

// findDeep looks for signs in bytes and in all that these bytes may stand for: text in hexadecimal, base64 of
// both alphabets and any of its three alignments, percent-encoded, escaped as in JSON or XML; streams of
// zstd, gzip and s2; the files of a zip; and what such texts hold in turn. It gives each occurrence, with how
// it was come by.
func findDeep(place string, data []byte) []leak { return findBelow(place, "", data, 0) }

// findBelow is findDeep of what was decoded depth times.
func findBelow(place, how string, data []byte, depth int) []leak {
	leaks := findSigns(place, how, data)
	if depth == 3 || len(leaks) >= maxLeaks {
		return leaks[:min(len(leaks), maxLeaks)]
	}
	for _, d := range decoders() {
		for _, text := range d.decode(data) {
			if len(text) < len(sign) {
				continue
			}
			leaks = append(leaks, findBelow(place, how+d.name+" ", text, depth+1)...)
			if len(leaks) >= maxLeaks {
				return leaks
			}
		}
	}
	return leaks
}

// findSigns gives each sign that stands in bytes as they are.
func findSigns(place, how string, data []byte) []leak {
	var leaks []leak
	lower := lowered(data)
	for _, pattern := range deepSigns() {
		for at := 0; len(leaks) < maxLeaks; {
			i := bytes.Index(lower[at:], []byte(pattern))
			if i < 0 {
				break
			}
			leaks = append(leaks, leak{place, how + pattern, around(data, at+i)})
			at += i + len(pattern)
		}
	}
	return leaks
}

// decoder turns bytes into what some of them may stand for.
type decoder struct {
	name   string
	decode func([]byte) [][]byte
}

// decoders are all that findDeep tries.
func decoders() []decoder {
	return []decoder{
		{"hex", runsOfHex}, {"base64", runsOfBase64}, {"escaped", unescaped}, {"zstd", unzstd}, {"gzip", gunzip}, {"s2", uns2}, {"zip", unzip},
	}
}

// shortestRun is the length from which a run of letters can hold a sign in base64.
const shortestRun = 8

// runs are the longest stretches of bytes of a class; ends of lines inside do not end them, as encoders
// break their lines.
func runs(data []byte, in func(byte) bool) [][]byte {
	var all [][]byte
	for i := 0; i < len(data); {
		if !in(data[i]) {
			i++
			continue
		}
		begin := i
		for i < len(data) && (in(data[i]) || i > begin+70 && (data[i] == '\n' || data[i] == '\r')) {
			i++
		}
		if i-begin >= shortestRun {
			all = append(all, data[begin:i])
		}
	}
	return all
}

// runsOfHex decodes hexadecimal, from each of the two places where a byte may begin. What the runs are
// decoded to stands together, with an end between them: one text for each beginning, however many runs.
func runsOfHex(data []byte) [][]byte {
	all := make([][]byte, 2)
	for _, run := range runs(data, isHex) {
		run = bytes.ReplaceAll(run, []byte("\n"), nil)
		for lead := range all {
			digits := run[lead:]
			out := make([]byte, len(digits)/2)
			if _, err := hex.Decode(out, digits[:len(out)*2]); err == nil {
				all[lead] = append(append(all[lead], out...), 0)
			}
		}
	}
	return all
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

// runsOfBase64 decodes base64 of either alphabet, from each of the four letters where a group may begin, as
// runsOfHex does.
func runsOfBase64(data []byte) [][]byte {
	all := make([][]byte, 4)
	for _, run := range runs(data, func(b byte) bool { return sextet(b) >= 0 }) {
		for lead := range all {
			all[lead] = append(base64From(all[lead], run[lead:]), 0)
		}
	}
	return all
}

// base64From appends what letters stand for, without looking at padding.
func base64From(out, letters []byte) []byte {
	bits, held := 0, 0
	for _, b := range letters {
		v := sextet(b)
		if v < 0 {
			continue
		}
		bits, held = bits<<6|v, held+6
		if held >= 8 {
			held -= 8
			out = append(out, byte(bits>>held))
			bits &= 1<<held - 1
		}
	}
	return out
}

// sextet is the value of a letter of base64, -1 if it is none.
func sextet(b byte) int {
	switch {
	case 'A' <= b && b <= 'Z':
		return int(b - 'A')
	case 'a' <= b && b <= 'z':
		return int(b-'a') + 26
	case '0' <= b && b <= '9':
		return int(b-'0') + 52
	case b == '+' || b == '-':
		return 62
	case b == '/' || b == '_':
		return 63
	}
	return -1
}

// unescaped is data with escapes replaced by what they stand for, and with the zeroes of UTF-16 left out:
// a byte as in a URL, and a character as in JSON and Go, or in XML by its number of either base.
func unescaped(data []byte) [][]byte {
	var all [][]byte
	for _, wide := range []string{"v\x00k", "V\x00K", "8\x006\x007\x005"} {
		if bytes.Contains(data, []byte(wide)) {
			all = append(all, bytes.ReplaceAll(data, []byte{0}, nil))
			break
		}
	}
	var out []byte
	kept := 0
	for i := 0; i < len(data); i++ {
		if c := data[i]; c != '%' && c != '\\' && c != '&' {
			continue
		}
		text, size := unescape(data[i:])
		if size == 0 {
			continue
		}
		out = append(append(out, data[kept:i]...), text...)
		i += size - 1
		kept = i + 1
	}
	if kept == 0 {
		return all
	}
	return append(all, append(out, data[kept:]...))
}

// unescape gives what an escape at the beginning of data stands for, and its length; 0 if there is none.
func unescape(data []byte) (text []byte, size int) {
	digits := func(from, n int) (int64, bool) {
		if len(data) < from+n {
			return 0, false
		}
		v, err := strconv.ParseInt(string(data[from:from+n]), 16, 32)
		return v, err == nil && data[from] != '+' && data[from] != '-'
	}
	switch {
	case data[0] == '%':
		if v, ok := digits(1, 2); ok {
			return []byte{byte(v)}, 3
		}
	case len(data) > 2 && data[0] == '\\' && data[1] == 'x':
		if v, ok := digits(2, 2); ok {
			return []byte{byte(v)}, 4
		}
	case len(data) > 2 && data[0] == '\\' && data[1] == 'u':
		if v, ok := digits(2, 4); ok {
			return []byte(string(rune(v))), 6
		}
	case len(data) > 3 && data[0] == '&' && data[1] == '#':
		number, _, found := bytes.Cut(data[2:min(len(data), 12)], []byte(";"))
		base, lead := 10, 0
		if found && len(number) > 1 && number[0] == 'x' {
			base, lead = 16, 1
		}
		if v, err := strconv.ParseUint(string(number[lead:]), base, 31); found && err == nil {
			return []byte(string(rune(v))), len("&#;") + len(number)
		}
	}
	return nil, 0
}

// streams unpacks what begins with a magic number, wherever it stands.
func streams(data []byte, magic string, open func([]byte) (io.Reader, error)) [][]byte {
	var all [][]byte
	for at := 0; len(all) < 1000; {
		i := bytes.Index(data[at:], []byte(magic))
		if i < 0 {
			return all
		}
		at += i
		if r, err := open(data[at:]); err == nil {
			// What follows the stream is not of it, and ends it with a fault.
			if text, _ := io.ReadAll(io.LimitReader(r, maxUnpacked)); len(text) > 0 {
				all = append(all, text)
			}
		}
		at += len(magic)
	}
	return all
}

func unzstd(data []byte) [][]byte {
	return streams(data, "\x28\xb5\x2f\xfd", func(b []byte) (io.Reader, error) {
		return zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
	})
}

func gunzip(data []byte) [][]byte {
	return streams(data, "\x1f\x8b\x08", func(b []byte) (io.Reader, error) { return gzip.NewReader(bytes.NewReader(b)) })
}

// uns2 unpacks streams of s2 and snappy, and a block, which has no magic number and must be all of it.
func uns2(data []byte) [][]byte {
	all := streams(data, "\xff\x06\x00\x00", func(b []byte) (io.Reader, error) { return s2.NewReader(bytes.NewReader(b)), nil })
	if text := uns2Block(data); text != nil {
		all = append(all, text)
	}
	return all
}

// uns2Block unpacks a block of s2, nil if it is none.
func uns2Block(data []byte) []byte {
	// It says first how long its text is, and any bytes say something there; then come bytes of the text
	// as they are, for nothing can be repeated yet.
	size, err := s2.DecodedLen(data)
	_, head := binary.Uvarint(data)
	if err != nil || size == 0 || size > min(maxUnpacked, 500*len(data)) || head >= len(data) || data[head]&3 != 0 {
		return nil
	}
	if first := int(data[head] >> 2); first < 60 && first+1 > min(size, len(data)-head-1) {
		return nil
	}
	text, err := s2.Decode(nil, data)
	if err != nil {
		return nil
	}
	return text
}

// unzip gives the files of a zip, and their names.
func unzip(data []byte) [][]byte {
	if !bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		return nil
	}
	var all [][]byte
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil
	}
	for _, f := range z.File {
		all = append(all, fmt.Appendf(nil, "%s %s", f.Name, f.Comment))
		r, err := f.Open()
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(io.LimitReader(r, maxUnpacked))
		all = append(all, text)
	}
	return all
}
