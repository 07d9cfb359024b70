package sinba

import (
	"slices"
	"strings"
)

// person is AnnoNascita, FasciaEtaBeneficiario and the residence. A birth date does not change
// with time, so that the last one told counts whenever it came; the residence is that of the last
// event up to the reference date, or of the first there is.
func (p *projection) person() {
	var born, lived *fact
	for _, f := range p.facts {
		if f.kind != "Anagrafica" {
			continue
		}
		if f.first("DataNascita") != "" {
			born = f
		}
		if lived == nil || f.day <= p.at {
			lived = f
		}
	}
	if month, ok := parseMonth([]byte(born.first("DataNascita"))); ok {
		p.set("AnnoNascita", born.first("DataNascita")[:4])
		if month/100 <= p.at/100 {
			p.set("FasciaEtaBeneficiario", ageBand(month, p.at))
		}
	}
	p.set("CodiceNazioneResidenza", lived.first("Residenza/CodiceNazione"))
	p.set("CodiceRegioneResidenza", lived.first("Residenza/CodiceComune"))
}

// child is what DatiMinore says, the last one by business date wherever it stood.
func (p *projection) child() {
	f := p.last("DatiMinore")
	for _, name := range []string{
		"MinoreStranieroNoAcc", "CondizioneMinore", "LuogoVita", "ScuolaFrequentata", "CondizioneLavoro", "Disabilita",
	} {
		p.set(name, f.first(name))
	}
	if f.first("Disabilita") == "1" {
		// Without a disability its details contradict it (BR-07 only warns): they are left out.
		p.set("TipoDisabilita", f.first("TipoDisabilita"))
		p.set("InvCivCertificazioni", f.first("InvCivCertificazioni"))
	}
}

// household is the last NucleoFamiliare.
func (p *projection) household() {
	f := p.last("NucleoFamiliare")
	if f == nil {
		return
	}
	for _, code := range f.values["ComposizioneFamiglia"] {
		if !slices.Contains(p.record.family, code) {
			p.record.family = append(p.record.family, code)
		}
	}
	for _, parent := range []string{"Padre", "Madre"} {
		for _, name := range []string{"CodiceCittadinanza", "CodiceRegioneResidenza", "TitoloStudio", "Occupazione"} {
			p.set(name+parent, f.first(parent+"/"+name))
		}
	}
}

// reports are the Segnalazioni: the earliest one, of those that say to be the first if there are
// any, and the latest one made by a judicial authority.
func (p *projection) reports() {
	var first, authority *fact
	reported := false
	for _, f := range p.facts {
		if f.kind != "Segnalazione" || f.day > p.at {
			continue
		}
		reported = true
		if first == nil || claims(f) && !claims(first) || claims(f) == claims(first) && f.day < first.day {
			first = f
		}
		if f.first("SegnalazioneAutoritaGiudiziaria") == "1" && (authority == nil || f.day >= authority.day) {
			authority = f
		}
	}
	if !reported {
		return
	}
	p.set("DataPrimaSegnalazione", first.day.monthYear())
	p.set("FonteSegnalazione", first.first("FonteSegnalazione"))
	p.set("SegnalazioneAutoritaGiudiziaria", yesNo(authority != nil))
	if authority != nil {
		p.set("DataSegnalazione", authority.date("DataSegnalazioneAutorita").monthYear())
	}
}

// claims tells whether a Segnalazione says to be the first.
func claims(f *fact) bool { return f.first("PrimaSegnalazione") == "1" }

// yesNo is codSiNo.
func yesNo(yes bool) string {
	if yes {
		return "1"
	}
	return "2"
}

// assessment is the last Valutazione; of a list its first value, which prevails.
func (p *projection) assessment() {
	f := p.last("Valutazione")
	p.set("ValutazioneMinore", f.first("ValutazioneMinore"))
	p.set("ValutazioneFamigliaMinore", f.first("ValutazioneFamigliaMinore"))
	p.set("CollaborazioniInterventi", f.first("CollaborazioniInterventi"))
	p.set("NumeroComponentiISEE", f.first("ISEE/NumeroComponentiISEE"))
	p.set("FasciaISEEBeneficiario", f.first("ISEE/FasciaISEEBeneficiario"))
}

// orders is the latest ProvvedimentoGiudiziario that has not ceased.
func (p *projection) orders() {
	open := slices.DeleteFunc(p.runs("ProvvedimentoGiudiziario"), func(r *run) bool { return !r.open() })
	r := latest(open)
	p.set("ProvvedimentoGiudiziario", yesNo(r != nil))
	if r == nil {
		return
	}
	p.set("DataProvvedimentoGiudiziario", r.begin.monthYear())
	p.copy(r, "AutoritaProvvedimento", "PotestaTutela", "TipoProvvedimentoGiudiziario")
}

// care is the latest Affidamento, an open one first.
func (p *projection) care() {
	p.copy(latest(p.runs("Affidamento")), "FormaInterventoAffido", "TipoInterventoAffido", "DurataAffido", "CarattereAffido", "EsitoAffido")
}

// placement is the latest InserimentoStruttura, an open one first.
func (p *projection) placement() {
	p.copy(latest(p.runs("InserimentoStruttura")), "CarattereInserimentoResidenziale", "FormaInserimentoResidenziale",
		"TipoInserimentoResidenziale", "EsitoInserimentoStruttura")
}

// copy sets attributes that have the names of leaves. nil has none.
func (p *projection) copy(r *run, names ...string) {
	if r == nil {
		return
	}
	for _, name := range names {
		p.set(name, r.first(name))
	}
}

// closing is the last ChiusuraCartella of the life cycle, if no RiaperturaCartella follows, and the
// record's standing.
func (p *projection) closing() {
	var closed *fact
	for _, f := range p.facts {
		switch {
		case f.day > p.at:
		case f.kind == "ChiusuraCartella":
			closed = f
		case f.kind == "RiaperturaCartella":
			closed = nil
		}
	}
	p.set("MotivazioneChiusuraCarico", closed.first("MotivazioneChiusuraCarico"))
	p.set("SituazioneChiusuraCarico", closed.first("SituazioneChiusuraCarico"))
	switch {
	case p.opened > p.at:
		p.record.standing = RecordBeforeOpening
	case closed != nil && closed.day <= p.since:
		p.record.standing = RecordPast
	default:
		p.record.standing = RecordDue
	}
}

// services are the codes of the Interventi that were active at least one day in the twelve months
// up to the reference date.
func (p *projection) services() {
	for _, r := range p.runs("Intervento") {
		if !r.open() && r.end <= p.since {
			continue
		}
		code := r.first("CodicePrestazione")
		if code == "" {
			p.unknownService = true
		} else if !slices.Contains(p.record.services, code) {
			p.record.services = append(p.record.services, code)
		}
	}
	slices.SortFunc(p.record.services, strings.Compare)
}

// inCharge tells whether the child was taken in charge by the reference date.
func (p *projection) inCharge() bool {
	return slices.ContainsFunc(p.facts, func(f *fact) bool {
		switch f.kind {
		case "PresaInCarico":
			return f.day <= p.at
		case "RiaperturaCartella":
			d := f.date("DataPresaInCarico")
			return d != 0 && d <= p.at
		}
		return false
	})
}
