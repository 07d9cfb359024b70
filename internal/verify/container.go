package verify

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
)

// manifestName is the member that lists the others.
const manifestName = "MANIFEST"

// member is a file in the container.
type member struct {
	name   string
	offset int64 // of its content
	size   int64
	crc    uint32 // recomputed
	digest [32]byte
}

// container is a bundle's zip file.
type container struct {
	file    io.ReaderAt
	size    int64
	members []member
	index   map[string]int
}

var (
	errContainer = errors.New("not a zip file")
	errPacked    = errors.New("a zip file, but not as evidence is written: its members must be stored as they are, once each")
)

// openContainer finds the members.
func openContainer(file io.ReaderAt, size int64) (*container, error) {
	z, err := zip.NewReader(file, size)
	if err != nil {
		return nil, errContainer
	}
	c := &container{file: file, size: size, index: make(map[string]int, len(z.File))}
	var at uint64
	for i, f := range z.File {
		if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 || f.UncompressedSize64 > uint64(max(size, 0)) ||
			len(f.Name) > math.MaxUint16 {
			return nil, errPacked
		}
		if _, twice := c.index[f.Name]; twice {
			return nil, errPacked
		}
		c.index[f.Name] = i
		offset, err := f.DataOffset()
		if err != nil {
			return nil, errContainer
		}
		c.members = append(c.members, member{name: f.Name, offset: offset, size: int64(f.UncompressedSize64)}) //nolint:gosec // compared above
		// Members that share their bytes would cost far more to read than the file is long.
		if at += f.UncompressedSize64; at > uint64(max(size, 0)) {
			return nil, errPacked
		}
	}
	return c, nil
}

// open gives a member's content.
func (c *container) open(name string) (*io.SectionReader, bool) {
	i, ok := c.index[name]
	if !ok {
		return nil, false
	}
	return io.NewSectionReader(c.file, c.members[i].offset, c.members[i].size), true
}

// read gives a member of at most that many bytes, in b if it is large enough.
func (c *container) read(name string, most int64, b []byte) ([]byte, error) {
	r, ok := c.open(name)
	if !ok {
		return nil, errAbsent
	}
	if r.Size() > most {
		return nil, errTooLong
	}
	if int64(cap(b)) < r.Size() {
		b = make([]byte, r.Size())
	}
	b = b[:r.Size()]
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, errUnreadable
	}
	return b, nil
}

var (
	errAbsent     = errors.New("it is not in the bundle")
	errTooLong    = errors.New("it is longer than such a member can be")
	errUnreadable = errors.New("it cannot be read")
)

// check reads every member, and writes the container anew from them and compares it with the file, byte
// for byte. So no byte of it is free: what is no member's content follows from the members.
func (c *container) check(rep *Report) {
	w := comparison{file: c.file}
	buffer := make([]byte, 1<<18)
	digest := sha256.New()
	for i := range c.members {
		m := &c.members[i]
		w.expect(localHeader(m.name), m.name)
		if m.offset != w.at {
			w.differ(m.name, w.at)
		}
		digest.Reset()
		content := io.NewSectionReader(c.file, m.offset, m.size)
		for left := m.size; left > 0; {
			b := buffer[:min(left, int64(len(buffer)))]
			if _, err := io.ReadFull(content, b); err != nil {
				rep.add(Unusable, m.name, "%v", errUnreadable)
				return
			}
			digest.Write(b)
			m.crc = crc32.Update(m.crc, crc32.IEEETable, b)
			left -= int64(len(b))
		}
		digest.Sum(m.digest[:0])
		w.at += m.size
		w.expect(descriptor(m.crc, uint64(m.size)), m.name) //nolint:gosec // a size is not negative
	}
	start := w.at
	at := int64(0)
	for i := range c.members {
		m := &c.members[i]
		w.expect(directoryHeader(m, at), m.name)
		at += int64(localHeaderSize+len(m.name)+len(descriptor(0, uint64(m.size)))) + m.size //nolint:gosec // a size is not negative
	}
	w.expect(directoryEnd(len(c.members), start, w.at-start), "")
	if w.at != c.size {
		w.differ("", min(w.at, c.size))
	}
	if w.wrong {
		rep.add(Tampered, w.member, "the container is not the one that its members make: byte %d differs", w.where)
	}
}

// comparison holds a file against what it should be.
type comparison struct {
	file   io.ReaderAt
	at     int64
	buffer []byte
	// the first difference
	wrong  bool
	where  int64
	member string
}

// expect reads what must be exactly this.
func (w *comparison) expect(b []byte, member string) {
	if cap(w.buffer) < len(b) {
		w.buffer = make([]byte, 2*len(b))
	}
	got := w.buffer[:len(b)]
	n, _ := w.file.ReadAt(got, w.at) // what it could not read differs
	if !bytes.Equal(got[:n], b) {
		same := 0
		for same < n && got[same] == b[same] {
			same++
		}
		w.differ(member, w.at+int64(same))
	}
	w.at += int64(len(b))
}

func (w *comparison) differ(member string, at int64) {
	if !w.wrong {
		w.wrong, w.where, w.member = true, at, member
	}
}

// The container is what archive/zip of Go 1.26 writes for CreateHeader with method store and the date
// 1980-01-01: no flag but the one for the length behind the content, no extra field but that for what
// has no room in 32 bits, no comment, nothing else set. It is written here a second time so that it
// stays this whatever archive/zip does later.
const (
	localHeaderSize = 30
	flagDescriptor  = 8
	zipVersion      = 20
	zipVersion64    = 45
	zipDate         = 1<<5 | 1 // 1 January 1980
)

func localHeader(name string) []byte {
	b := make([]byte, 0, localHeaderSize+len(name))
	b = binary.LittleEndian.AppendUint32(b, 0x04034b50)
	b = appendCommon(b, zipVersion)
	b = append(b, make([]byte, 12)...)                         // checksum and sizes follow the content
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name))) //nolint:gosec // compared in openContainer
	b = append(b, 0, 0)
	return append(b, name...)
}

// appendCommon appends what both headers of a member have: version, flags, method, time, date.
func appendCommon(b []byte, version uint16) []byte {
	b = binary.LittleEndian.AppendUint16(b, version)
	b = binary.LittleEndian.AppendUint16(b, flagDescriptor)
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint16(b, zipDate)
}

// descriptor follows a member's content.
func descriptor(crc uint32, size uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0x08074b50)
	b = binary.LittleEndian.AppendUint32(b, crc)
	if size >= math.MaxUint32 {
		b = binary.LittleEndian.AppendUint64(b, size)
		return binary.LittleEndian.AppendUint64(b, size)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	return binary.LittleEndian.AppendUint32(b, uint32(size))
}

// directoryHeader is a member's record in the directory at the end, for one that begins there.
func directoryHeader(m *member, at int64) []byte {
	var extra []byte
	size, start := uint64(m.size), uint64(at) //nolint:gosec // neither is negative
	size32, start32 := uint32(min(size, math.MaxUint32)), uint32(min(start, math.MaxUint32))
	version := uint16(zipVersion)
	if size >= math.MaxUint32 {
		version = zipVersion64
	}
	if size >= math.MaxUint32 || start >= math.MaxUint32 {
		size32 = math.MaxUint32
		extra = append(extra, 1, 0, 24, 0)
		extra = binary.LittleEndian.AppendUint64(extra, size)
		extra = binary.LittleEndian.AppendUint64(extra, size)
		extra = binary.LittleEndian.AppendUint64(extra, start)
	}
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 46+len(m.name)+len(extra)), 0x02014b50)
	b = binary.LittleEndian.AppendUint16(b, zipVersion)
	b = appendCommon(b, version)
	b = binary.LittleEndian.AppendUint32(b, m.crc)
	b = binary.LittleEndian.AppendUint32(b, size32)
	b = binary.LittleEndian.AppendUint32(b, size32)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.name))) //nolint:gosec // compared in openContainer
	b = binary.LittleEndian.AppendUint16(b, uint16(len(extra)))  //nolint:gosec // 28 or none
	b = append(b, make([]byte, 10)...)                           // comment, disk, attributes
	b = binary.LittleEndian.AppendUint32(b, start32)
	return append(append(b, m.name...), extra...)
}

// directoryEnd is what follows the directory of so many records at start, of so many bytes.
func directoryEnd(records int, start, size int64) []byte {
	n, from, long := uint64(records), uint64(start), uint64(size) //nolint:gosec // none is negative
	var b []byte
	if n >= math.MaxUint16 || long >= math.MaxUint32 || from >= math.MaxUint32 {
		b = binary.LittleEndian.AppendUint32(b, 0x06064b50)
		b = binary.LittleEndian.AppendUint64(b, 44) // what follows in this record
		b = binary.LittleEndian.AppendUint16(b, zipVersion64)
		b = binary.LittleEndian.AppendUint16(b, zipVersion64)
		b = append(b, make([]byte, 8)...) // disks
		for _, v := range []uint64{n, n, long, from} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		b = binary.LittleEndian.AppendUint32(b, 0x07064b50)
		b = append(b, 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint64(b, from+long)
		b = append(b, 1, 0, 0, 0)
		n, from, long = math.MaxUint16, math.MaxUint32, math.MaxUint32
	}
	b = binary.LittleEndian.AppendUint32(b, 0x06054b50)
	b = append(b, 0, 0, 0, 0) // disks
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	b = binary.LittleEndian.AppendUint32(b, uint32(long))
	b = binary.LittleEndian.AppendUint32(b, uint32(from))
	return append(b, 0, 0)
}
