package hub

import "strings"

// Sentence says in people's words what a violation of one code found, where the code alone says
// several things. `{}` stands for the violation's About.
type Sentence struct {
	Code Code
	// Reason tells the sentences of one code apart.
	Reason string
	IT, EN string
}

// Sentences is the one table of sentences, in the order of the codes. A code without a row is told
// by its own text alone; the page of codes lists the rows below their code.
func Sentences() []Sentence {
	return []Sentence{
		{CodeRule02, "unknown", "Nessun evento con questo IdEventoRiferito in questa cartella.", "No event with this IdEventoRiferito in this case."},
		{CodeRule02, "type", "TipoEvento deve essere quello dell'evento indicato in IdEventoRiferito.", "TipoEvento must be that of the event named in IdEventoRiferito."},
		{CodeRule02, "subject", "Una rettifica non può cambiare IdAssistitoLocale: annullare l'evento e inviarne uno nuovo.", "A correction cannot change IdAssistitoLocale: annul the event and send a new one."},
		{CodeRule03, "wrong", "Il codice fiscale ha il carattere di controllo o la data errati.", "The codice fiscale has a wrong check character or date."},
		{CodeRule03, "differs", "{} non concorda con il codice fiscale.", "{} does not agree with the codice fiscale."},
		{CodeRule13, "care", "LuogoVita è famiglia affidataria (3) ma nessun affido residenziale è aperto.", "LuogoVita is foster family (3) but no residential foster care is open."},
		{CodeRule13, "no_care", "Un affido residenziale è aperto ma LuogoVita non è famiglia affidataria (3).", "Residential foster care is open but LuogoVita is not foster family (3)."},
		{CodeRule13, "placement", "LuogoVita è struttura residenziale sociale (4) ma nessun inserimento è aperto.", "LuogoVita is residential structure (4) but no placement is open."},
		{CodeRule13, "no_placement", "Un inserimento è aperto ma LuogoVita non è struttura residenziale sociale (4).", "A placement is open but LuogoVita is not residential structure (4)."},
		{CodeRule14, "structures", "L'inserimento si sovrappone a un altro in un'altra struttura.", "The placement overlaps another one in another structure."},
		{CodeRule14, "care", "Un affido residenziale e un inserimento si sovrappongono.", "Residential foster care and a placement overlap."},
		{CodeRule15, "missing", "La forma è giudiziaria (2) ma manca IdProvvedimento.", "The form is judicial (2) but IdProvvedimento is missing."},
		{CodeRule17, "open", "La cartella non può chiudersi: sono ancora aperti {}.", "The case cannot be closed: still open are {}."},
		{CodeNotInState, "state", "L'evento non è ammesso nello stato {} della cartella.", "The event is not allowed in the state {} of the case."},
		{CodeNumberGap, "missing", "Numeri di ProgressivoCartella che mancano prima di questo: {}.", "Numbers of ProgressivoCartella missing before this one: {}."},
		{CodeIncongruent, "count", "Eventi successivi che con questo non sono più ammessi al loro posto: {}.", "Later events that are no longer allowed at their place with this one: {}."},
	}
}

// Speaker finds the texts of violations. It is built once and serves any number of goroutines.
type Speaker struct {
	codes     map[Code]Text
	sentences map[sentenceKey]Sentence
}

// sentenceKey names a sentence.
type sentenceKey struct {
	code   Code
	reason string
}

// NewSpeaker has the texts of Codes and Sentences.
func NewSpeaker() *Speaker {
	s := &Speaker{codes: map[Code]Text{}, sentences: map[sentenceKey]Sentence{}}
	for _, text := range Codes() {
		s.codes[text.Code] = text
	}
	for _, row := range Sentences() {
		s.sentences[sentenceKey{row.Code, row.Reason}] = row
	}
	return s
}

// Say gives what to tell of a violation: its sentence, or the text of its code.
func (s *Speaker) Say(v Violation) Text {
	row, ok := s.sentences[sentenceKey{v.Code, v.Reason}]
	if !ok {
		return s.codes[v.Code]
	}
	return Text{
		Code: v.Code,
		IT:   strings.ReplaceAll(row.IT, "{}", v.About), EN: strings.ReplaceAll(row.EN, "{}", v.About),
	}
}
