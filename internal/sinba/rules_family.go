package sinba

import "github.com/sinbahub/sinbahub/internal/hub"

// The values of codComposizioneFamiglia that are parents.
const (
	memberMother = "1"
	memberFather = "2"
)

// The values of codCondizioneMinore that say that a parent is dead. Of unknown parents (5) the rule
// says nothing: one of them may turn up in the family without being recognised.
const (
	orphanOfBoth   = "2"
	orphanOfFather = "3"
	orphanOfMother = "4"
)

// judgeOrphan is BR-10: a parent who is dead by any CondizioneMinore of the event is in no
// NucleoFamiliare of it, neither among the members nor with data.
func judgeOrphan(j *judgement) {
	var noFather, noMother bool
	j.each(minor, func(j *judgement, child int) {
		noFather = noFather || j.says(child, orphan, orphanOfBoth) || j.says(child, orphan, orphanOfFather)
		noMother = noMother || j.says(child, orphan, orphanOfBoth) || j.says(child, orphan, orphanOfMother)
	})
	if !noFather && !noMother {
		return
	}
	j.each(family, func(j *judgement, family int) {
		for i, ok := j.child(family, member); ok; i, ok = j.next(family, i, member) {
			if v := string(j.raw(i)); noMother && v == memberMother || noFather && v == memberFather {
				j.because("member", hub.Grave, i)
			}
		}
		if i, ok := j.child(family, father); ok && noFather {
			j.because("data", hub.Grave, i)
		}
		if i, ok := j.child(family, mother); ok && noMother {
			j.because("data", hub.Grave, i)
		}
	})
}

// judgeMembers is BR-11: a NucleoFamiliare names each kind of member once. Every repetition is told.
func judgeMembers(j *judgement) {
	j.each(family, func(j *judgement, family int) {
		for i, ok := j.child(family, member); ok; i, ok = j.next(family, i, member) {
			for k, _ := j.child(family, member); k < i; k, _ = j.next(family, k, member) {
				if string(j.raw(k)) == string(j.raw(i)) {
					j.because("twice", hub.Grave, i)
					break
				}
			}
		}
	})
}
