package verify

import (
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// BundleFacts say what a bundle holds.
type BundleFacts struct {
	// Origin is the journal's name.
	Origin string `json:"origin"`
	// Ente is the code of the ente that the bundle is for, empty for a full one.
	Ente string `json:"ente,omitempty"`
	// Keys are the public keys that the signatures were held against.
	Keys []KeyFacts `json:"keys"`
	// From and To are the range that the bundle was made for.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// First, End and Size are leaves: the range's first, the one behind its last, and the tree's size.
	First int64 `json:"first"`
	End   int64 `json:"end"`
	Size  int64 `json:"size"`
	// Root is the signed root of the tree, ClosedAt when it was signed.
	Root     string    `json:"root"`
	ClosedAt time.Time `json:"closed_at"`
	// Checkpoints counts those in the bundle, Proven those that the tree was shown to hold.
	Checkpoints int `json:"checkpoints"`
	Proven      int `json:"checkpoints_proven"`
	// Format is the number of the bundle's format.
	Format int `json:"format"`
	// Closed says that a checkpoint signed at or after To closes the range; else the bundle ends with the
	// last one that there was.
	Closed bool `json:"closed"`
	// Entries counts the entries that were authenticated up to the root, Gone those of which only the
	// hash is left, and Retired those among them that entries of retention account for.
	Entries int64 `json:"entries"`
	Gone    int64 `json:"entries_gone"`
	Retired int64 `json:"entries_retired"`
	// Kinds counts the entries by kind.
	Kinds map[string]int64 `json:"kinds"`
	// Sealed counts the sealed messages that agree with their entry, SealedGone those that are no more,
	// and SealedRetired those among them that entries of retention account for.
	Sealed        int64 `json:"sealed"`
	SealedGone    int64 `json:"sealed_gone"`
	SealedRetired int64 `json:"sealed_retired"`
	// Absent are leaves of which something is gone that no entry of retention accounts for.
	Absent []AbsentFacts `json:"absent,omitempty"`
	// Retirements are the entries of retention, up to the leaf RetiredTo; RetiredAt is when the checkpoint
	// was signed that proves them, if it is not the closing one.
	Retirements []RetirementFacts `json:"retirements,omitempty"`
	RetiredTo   int64             `json:"retired_to"`
	RetiredAt   string            `json:"retired_at,omitempty"`
	// Lacking says that the database had less than the hub knew to be signed when the bundle was made.
	Lacking bool `json:"lacking,omitempty"`
	// Accepted counts events, Settled those with an outcome, Open the lines of those without.
	Accepted int64 `json:"accepted"`
	Settled  int64 `json:"settled"`
	Open     int   `json:"open"`
	// Attempts counts attempts to deliver.
	Attempts int64 `json:"attempts"`
	// Earliest and Latest are the times of the first and the last entry by their own account.
	Earliest string `json:"earliest,omitempty"`
	Latest   string `json:"latest,omitempty"`
	// Restored are the operators' words that the journal was restored.
	Restored []RestoredFacts `json:"restored,omitempty"`
	// Outside are the checkpoints that were given, and how each compares.
	Outside []OutsideFacts `json:"outside,omitempty"`
	// Kept are the answers that were given, and how each compares.
	Kept []KeptFacts `json:"kept,omitempty"`
}

// RestoredFacts is an operator's word that the journal was restored from a backup.
type RestoredFacts struct {
	// Leaf and At are the entry's.
	Leaf int64  `json:"leaf"`
	At   string `json:"at"`
	// AfterSize and AfterRoot are the last checkpoint known before.
	AfterSize int64  `json:"after_size"`
	AfterRoot string `json:"after_root"`
}

// BundleOptions are what an auditor brings along.
type BundleOptions struct {
	// Key is the auditor's own copy of the public key; nil to take the one in the bundle.
	Key *Document
	// Checkpoints are signed checkpoints seen elsewhere.
	Checkpoints []Document
}

// inspection is the state of one verification of a bundle.
type inspection struct {
	*Report
	box      *container
	ring     *ring
	manifest manifest
	closing  checkpoint
	facts    *BundleFacts
	ledger   *ledger
	claims   *claims
	hash     hasher
	kinds    [256]int64
	versions versions
	absent   absences
	retired  []retirement
	// retiredAt is when the later checkpoint was signed that holds the entries of retention.
	retiredAt time.Time
	earliest  int64
	latest    int64
	// walked tells whether the leaves were gone through.
	walked bool
}

// Sizes that members of a bundle do not exceed.
const (
	mostManifest    = 1 << 30
	mostKeys        = 1 << 16
	mostCheckpoint  = 1 << 16
	mostCheckpoints = 1 << 30
	mostOpen        = 1 << 30
)

// Bundle verifies a bundle. It holds no more of it in memory than its manifest, its checkpoints, the
// tree above the leaves and what is under way.
func Bundle(file io.ReaderAt, size int64, options BundleOptions) *Report {
	in := &inspection{Report: newReport()}
	if err := in.begin(file, size, options); err != nil {
		in.add(Unusable, "", "%v", err)
		return in.close()
	}
	if in.header() {
		in.body(options.Checkpoints)
	}
	return in.close()
}

var (
	errNoManifest = errors.New("not a bundle of evidence: it has no " + manifestName + " at its end")
	errNoKey      = errors.New("no public key: give the journal's with --key")
	errBadKey     = errors.New("the key file is " + errKeys.Error())
)

// keysName is the member with the public keys.
const keysName = "keys/journal.pub"

// begin finds the members and the keys.
func (in *inspection) begin(file io.ReaderAt, size int64, options BundleOptions) (err error) {
	if in.box, err = openContainer(file, size); err != nil {
		return err
	}
	if n := len(in.box.members); n == 0 || in.box.members[n-1].name != manifestName {
		return errNoManifest
	}
	if options.Key != nil {
		if in.ring, err = parseRing(options.Key.Bytes, true); err != nil {
			return errBadKey
		}
		in.ring.extend(options.Key.Bytes)
		// What the bundle has of keys needs no trust: a transition counts only if a key that was given signed it.
		if b, err := in.box.read(keysName, mostKeys, nil); err == nil {
			in.ring.extend(b)
		}
		return nil
	}
	b, err := in.box.read(keysName, mostKeys, nil)
	if err != nil {
		return errNoKey
	}
	if in.ring, err = parseRing(b, false); err != nil {
		return errNoKey
	}
	in.ring.extend(b)
	return nil
}

// header holds the manifest against its signature and the members against the manifest, and reads the
// closing checkpoint. False: there is nothing to hold the rest against.
func (in *inspection) header() bool {
	b, err := in.box.read(manifestName, mostManifest, nil)
	if err != nil {
		in.add(Unusable, manifestName, "%v", err)
		return false
	}
	n, err := in.ring.open(b)
	switch {
	case n == nil:
		in.add(Unusable, manifestName, "%v", err)
		return false
	case err != nil:
		in.add(Tampered, manifestName, "%v", err)
	case !strict(n, b):
		in.add(Tampered, manifestName, "it carries more than its text and known signatures")
	}
	if in.manifest, err = parseManifest(n.Text); err != nil {
		in.add(Unusable, manifestName, "%v", err)
		return false
	}
	if len(n.Sigs) > 0 && !signedBy(n, in.manifest.origin) {
		in.add(Tampered, manifestName, "the key that signed it has not the name of the journal")
	}
	m := &in.manifest
	in.facts = &BundleFacts{
		Origin: m.origin, Ente: m.ente, Keys: in.ring.facts(), From: m.from, To: m.to,
		First: m.first, End: m.end, Size: m.size, Kinds: map[string]int64{},
		Format: m.version, Closed: m.closed, RetiredTo: m.retired, Lacking: m.lacking,
	}
	in.Bundle = in.facts
	in.ledger = newLedger(in.Report, in.facts, m.end)
	in.box.check(in.Report)
	in.members()
	return in.readClosing()
}

// members holds the members that are there against those that are listed. Both are sorted.
func (in *inspection) members() {
	there := in.box.members[:len(in.box.members)-1]
	for i := 1; i < len(there); i++ {
		if there[i-1].name >= there[i].name {
			in.add(Tampered, there[i].name, "the members are not sorted by name")
			break
		}
	}
	for _, l := range in.manifest.members {
		i, ok := in.box.index[l.name]
		switch {
		case !ok:
			in.add(Tampered, l.name, "the manifest lists it, and it is not there")
		case in.box.members[i].size != l.size:
			in.add(Tampered, l.name, "it is %d bytes long, and %d were signed", in.box.members[i].size, l.size)
		case in.box.members[i].digest != l.digest:
			in.add(Tampered, l.name, "its SHA-256 is not the one that was signed")
		}
	}
	listed := make(map[string]struct{}, len(in.manifest.members))
	for _, l := range in.manifest.members {
		listed[l.name] = struct{}{}
	}
	for _, m := range there {
		if _, ok := listed[m.name]; !ok {
			in.add(Tampered, m.name, "it is there, and the manifest does not list it")
		}
	}
}

// closingName is the member with the checkpoint that the bundle's tree ends with.
const closingName = "checkpoint"

// readClosing reads the closing checkpoint.
func (in *inspection) readClosing() bool {
	b, err := in.box.read(closingName, mostCheckpoint, nil)
	if err != nil {
		in.add(Incomplete, closingName, "%v", err)
		return false
	}
	in.closing, err = in.ring.openCheckpoint(b)
	if err != nil {
		in.add(Tampered, closingName, "%v", err)
	}
	c := in.closing
	if c.origin == "" {
		return false
	}
	in.facts.Root, in.facts.ClosedAt = c.root.String(), c.at
	if c.origin != in.manifest.origin || c.size != in.manifest.size {
		in.add(Tampered, closingName, "it is of %d entries of another journal or size than the manifest, which has %d", c.size, in.manifest.size)
		return false
	}
	switch early := c.at.Before(in.manifest.to); {
	case in.manifest.version == 1:
		// The range of an export that came too early ends with the checkpoint's own time.
		in.facts.Closed = c.at.After(in.manifest.to)
		if early {
			in.add(Incomplete, closingName, "it was signed at %s, before the end of the range", stamp(c.at))
		}
	case early == in.manifest.closed:
		in.add(Tampered, closingName, "it was signed at %s, and the manifest says of the range up to %s that it is %s", stamp(c.at), stamp(in.manifest.to), closedWord(in.manifest.closed))
	}
	return true
}

// closedWord says whether a range is closed.
func closedWord(closed bool) string {
	if closed {
		return "closed"
	}
	return "not closed"
}

// body verifies what the bundle is about.
func (in *inspection) body(outside []Document) {
	in.claims = newClaims(in, outside)
	in.readRetired()
	if b, err := in.box.read(openName, mostOpen, nil); err != nil {
		in.add(Incomplete, openName, "%v", err)
	} else {
		in.ledger.readOpen(string(b))
	}
	switch {
	case in.closing.size == 0:
		if in.closing.root != tlog.Hash(sha256.Sum256(nil)) {
			in.add(Tampered, closingName, "its root is not that of an empty tree")
		}
	case in.manifest.ente != "":
		in.enteLeaves()
	default:
		in.tiles()
	}
	if in.walked {
		in.ledger.close(in.manifest.first)
	}
	in.judgeAbsent()
	in.judgeKept()
	in.claims.judge(in.ledger)
	in.judgeLacking()
	if in.facts.Entries > 0 {
		in.facts.Earliest, in.facts.Latest = stamp(time.UnixMicro(in.earliest)), stamp(time.UnixMicro(in.latest))
	} else {
		in.add(Incomplete, "", "not one entry was there to verify")
	}
	for kind, n := range in.kinds {
		if n > 0 {
			in.facts.Kinds[kindName(byte(kind))] += n
		}
	}
	in.remarks()
}

// remarks adds what a reader must know of a verdict.
func (in *inspection) remarks() {
	in.tellVersions()
	if !in.ring.given {
		in.note("The public key came with the bundle: compare its name and id with what the hub's operator published elsewhere, or give your own copy with --key.")
	}
	if len(in.facts.Outside) == 0 {
		in.note("No checkpoint from outside was given: that nobody signed another history is not proven. Give one that you or a vendor keeps with --checkpoint.")
	}
	if in.facts.Retired+in.facts.SealedRetired > 0 {
		in.note("Entries of which only the hash is left: %d, of which the sealed bytes are gone: %d. Entries of retention account for them. Whether the policy that these name is the region's, and who asked for it, is yours to judge.", in.facts.Retired, in.facts.SealedRetired)
	}
	if in.manifest.version == 1 && len(in.facts.Absent) > 0 {
		in.note("The bundle is of the first format, which brings no entries of retention from behind its range: an export by a newer hub may account for what is absent.")
	}
	if !in.facts.Closed {
		in.note("The range is not closed: no checkpoint had been signed at or after its end, %s, and nothing after %s is in it. Export again for the rest.", stamp(in.manifest.to), stamp(in.closing.at))
	}
	if in.facts.Ente != "" {
		in.note("That ente %s is number %d in the entries is said by the manifest, signed with the journal's key at the export, and by no entry: hold it against what its vendors keep.", in.facts.Ente, in.manifest.row)
	}
	if in.facts.Kinds["unknown"] > 0 {
		in.note("Entries of kinds that this verifier does not know: %d. They are authentic, and what they say was not looked at.", in.facts.Kinds["unknown"])
	}
}
