package sinba

import "github.com/sinbahub/sinbahub/internal/hub"

// The values of codSiNo.
const (
	yes = "1"
	no  = "2"
)

// judgeDisability is BR-07: who has a disability has its kind and its certification (GRAVE), who has
// none has neither (LIEVE).
func judgeDisability(j *judgement) {
	j.each(minor, func(j *judgement, child int) {
		switch {
		case j.says(child, disabled, yes):
			j.needs("needed", child, disability, certification)
		case j.says(child, disabled, no):
			for _, r := range [...]role{disability, certification} {
				if i, ok := j.child(child, r); ok {
					j.because("unexpected", hub.Lieve, i)
				}
			}
		}
	})
}

// italy is the numeric code of Italy.
const italy = "380"

// judgeUnaccompanied is BR-09: an unaccompanied foreign minor has neither Italian nor another
// citizenship of the European Union (L. 47/2017, art. 2), as far as this event says (GRAVE), and does
// not live with a parent (LIEVE). The words are easily turned round: an older exporter asked for
// "straniero accompagnato" and wrote the answer here (domain, 1.2).
func judgeUnaccompanied(j *judgement) {
	alone := false
	j.each(minor, func(j *judgement, child int) {
		i, ok := j.child(child, unaccompanied)
		if !ok || string(j.raw(i)) != yes {
			return
		}
		alone = true
		for _, node := range [...]int16{j.cat.at.citizenship, j.cat.at.citizenship2} {
			if code := j.text(node); code == italy || j.cat.MemberOfEU(code) {
				j.about("citizen", hub.Grave, i, j.cat.nodes[node].name)
				break
			}
		}
	})
	if !alone {
		return
	}
	j.each(family, func(j *judgement, family int) {
		for i, ok := j.child(family, member); ok; i, ok = j.next(family, i, member) {
			if v := string(j.raw(i)); v == memberMother || v == memberFather {
				j.because("parent", hub.Lieve, i)
			}
		}
	})
}
