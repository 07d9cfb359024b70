package sinba

import (
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// judgeCodiceFiscale is BR-03: a codice fiscale, also a previous one, has a date of the calendar and
// its right check character (GRAVE); the child's own agrees with Anagrafica (LIEVE: people change
// names and sex, archives err).
func judgeCodiceFiscale(j *judgement) {
	for _, container := range [...]int16{j.cat.at.identifier, j.cat.at.previous} {
		i, ok := j.identityElem(container)
		if !ok || kindOf(j.cat.nodes[j.elems[i].node].name) != CodiceFiscale {
			continue
		}
		code, err := codicefiscale.Parse(j.value(i))
		if err != nil {
			j.because("wrong", hub.Grave, i)
			continue
		}
		if container == j.cat.at.identifier {
			judgeCoherence(j, code)
		}
	}
}

// judgeCoherence compares what a right code says with Anagrafica.
func judgeCoherence(j *judgement, code codicefiscale.Code) {
	at := &j.cat.at
	if i, ok := j.find(at.sex); ok && string(j.raw(i)) != string(code.Sex()) {
		j.because("differs", hub.Lieve, i)
	}
	if i, ok := j.find(at.birth); ok && !coherentBirth(j, code, i) {
		j.because("differs", hub.Lieve, i)
	}
	if i, ok := j.find(at.birthPlace); ok && string(j.raw(i)) != code.Place() {
		j.because("differs", hub.Lieve, i)
	}
}

// coherentBirth tells whether the code was given for the birth date at element i. The code has no
// century, so the latest date that is not after the declared one must be the declared one. A
// presumed date on 1 January says its year only.
func coherentBirth(j *judgement, code codicefiscale.Code, i int) bool {
	declared, _ := parseDay(j.raw(i))
	year, month, dayOfMonth := code.Born(declared.time())
	if year == declared.year() && int(month) == declared.month() && dayOfMonth == declared.dayOfMonth() {
		return true
	}
	if !j.presumed() || declared.month() != 1 || declared.dayOfMonth() != 1 {
		return false
	}
	endOfYear := day(declared.year()*10_000 + 1231) //nolint:gosec // a date of the contract
	year, _, _ = code.Born(endOfYear.time())
	return year == declared.year()
}

// presumed tells whether the birth date is a guess (DataNascitaPresunta = 1).
func (j *judgement) presumed() bool { return j.text(j.cat.at.presumed) == "1" }

// judgeOtherCodes is BR-04: STP and ENI codes name an ISTAT region, a provisional code has its right
// check digit; the same for a previous one.
func judgeOtherCodes(j *judgement) {
	for _, container := range [...]int16{j.cat.at.identifier, j.cat.at.previous} {
		i, ok := j.identityElem(container)
		if !ok {
			continue
		}
		var err error
		reason := "region"
		switch kindOf(j.cat.nodes[j.elems[i].node].name) {
		case CodiceFiscaleProvvisorio:
			reason, err = "digit", codicefiscale.CheckProvisional(j.value(i))
		case CodiceSTP:
			err = codicefiscale.CheckSTP(j.value(i))
		case CodiceENI:
			err = codicefiscale.CheckENI(j.value(i))
		case CodiceFiscale, NonIdentificato:
		}
		if err != nil {
			j.because(reason, hub.Grave, i)
		}
	}
}
