package hub

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sentence says in people's words what a violation of one code found, where the code alone says
// several things. `{}` stands for the violation's About, `{form}` for what is asked for, `{next}`
// for where an element stands, `{found}` and `{length}` for what a value is like.
type Sentence struct {
	Code Code
	// Reason tells the sentences of one code apart.
	Reason string
	IT, EN string
}

// Sentences is the one table of sentences, in the order of the codes. A code without a row is told
// by its own text alone; the page of codes lists the rows below their code.
func Sentences() []Sentence {
	return append(schemaSentences(), []Sentence{
		{CodeRule01, "body", "Con questo TipoEvento Dettaglio deve contenere {}.", "With this TipoEvento Dettaglio must hold {}."},
		{CodeRule01, "Annullamento", "Con TipoOperazione A Dettaglio deve contenere {}, qualunque sia TipoEvento.", "With TipoOperazione A Dettaglio must hold {}, whatever TipoEvento is."},
		{CodeRule02, "unknown", "Nessun evento con questo IdEventoRiferito in questa cartella.", "No event with this IdEventoRiferito in this case."},
		{CodeRule02, "type", "TipoEvento deve essere quello dell'evento indicato in IdEventoRiferito.", "TipoEvento must be that of the event named in IdEventoRiferito."},
		{CodeRule02, "subject", "Una rettifica non può cambiare IdAssistitoLocale: annullare l'evento e inviarne uno nuovo.", "A correction cannot change IdAssistitoLocale: annul the event and send a new one."},
		{CodeRule02, "needed", "Con TipoOperazione R o A serve {}: l'evento da rettificare o annullare.", "With TipoOperazione R or A {} is needed: the event to be corrected or annulled."},
		{CodeRule02, "unexpected", "Con TipoOperazione I {} non è previsto: per correggere un evento usare R.", "With TipoOperazione I {} is not expected: use R to correct an event."},
		{CodeRule02, "itself", "{} è uguale a IdEvento: deve indicare un altro evento.", "{} equals IdEvento: it must name another event."},
		{CodeRule03, "wrong", "Il codice fiscale ha il carattere di controllo o la data errati.", "The codice fiscale has a wrong check character or date."},
		{CodeRule03, "differs", "{} non concorda con il codice fiscale.", "{} does not agree with the codice fiscale."},
		{CodeRule04, "region", "{}: le cifre della regione non sono quelle di una regione nei codici ISTAT (Toscana è 090).", "{}: the digits of the region are none of a region in ISTAT's codes (Toscana is 090)."},
		{CodeRule04, "digit", "{} ha la cifra di controllo errata.", "{} has a wrong check digit."},
		{CodeRule05, "adult", "Alla {} la persona ha da 18 a 20 anni: è ammesso solo per prosieguo amministrativo.", "At {} the person is from 18 to 20 years old: allowed only as care prolonged by a court."},
		{CodeRule05, "too_old", "Alla {} la persona ha 21 anni o più.", "At {} the person is 21 years old or more."},
		{CodeRule06, "future", "{} è nel futuro, secondo il calendario in Italia.", "{} is in the future, by the calendar in Italy."},
		{CodeRule06, "clock", "{} è più di cinque minuti nel futuro: verificare l'orologio e il fuso.", "{} is more than five minutes in the future: check the clock and the zone."},
		{CodeRule06, "before_birth", "{} precede DataNascita.", "{} is before DataNascita."},
		{CodeRule06, "before_opening", "{} precede DataApertura della cartella.", "{} is before DataApertura of the case."},
		{CodeRule06, "before_charge", "{} precede la presa in carico della cartella.", "{} is before the case's taking in charge."},
		{CodeRule06, "before_start", "{} precede la data d'inizio.", "{} is before the date of the beginning."},
		{CodeRule06, "not_closed", "{} è indicata, ma Fase non è CHIUSURA: per chiudere serve Fase CHIUSURA.", "{} is given, but Fase is not CHIUSURA: Fase CHIUSURA is needed to close."},
		{CodeRule07, "needed", "Con Disabilita 1 (sì) serve anche {}.", "With Disabilita 1 (yes) {} is needed, too."},
		{CodeRule07, "unexpected", "Con Disabilita 2 (no) {} non è previsto.", "With Disabilita 2 (no) {} is not expected."},
		{CodeRule08, "needed", "Con SegnalazioneAutoritaGiudiziaria 1 (sì) serve {}.", "With SegnalazioneAutoritaGiudiziaria 1 (yes) {} is needed."},
		{CodeRule09, "citizen", "Con MinoreStranieroNoAcc 1 (sì) {} non può essere italiana né dell'Unione europea.", "With MinoreStranieroNoAcc 1 (yes) {} cannot be Italian or of the European Union."},
		{CodeRule09, "parent", "Con MinoreStranieroNoAcc 1 (sì) {} non dovrebbe indicare madre (1) o padre (2).", "With MinoreStranieroNoAcc 1 (yes) {} should not name mother (1) or father (2)."},
		{CodeRule10, "member", "{} indica un genitore che secondo CondizioneMinore è morto.", "{} names a parent who is dead by CondizioneMinore."},
		{CodeRule10, "data", "{} è presente, ma secondo CondizioneMinore questo genitore è morto.", "{} is present, but by CondizioneMinore this parent is dead."},
		{CodeRule11, "twice", "{} ripete un componente già indicato.", "{} repeats a member that was already named."},
		{CodeRule12, "needed", "Con Fase CHIUSURA serve {}.", "With Fase CHIUSURA {} is needed."},
		{CodeRule13, "care", "LuogoVita è famiglia affidataria (3) ma nessun affido residenziale è aperto.", "LuogoVita is foster family (3) but no residential foster care is open."},
		{CodeRule13, "no_care", "Un affido residenziale è aperto ma LuogoVita non è famiglia affidataria (3).", "Residential foster care is open but LuogoVita is not foster family (3)."},
		{CodeRule13, "placement", "LuogoVita è struttura residenziale sociale (4) ma nessun inserimento è aperto.", "LuogoVita is residential structure (4) but no placement is open."},
		{CodeRule13, "no_placement", "Un inserimento è aperto ma LuogoVita non è struttura residenziale sociale (4).", "A placement is open but LuogoVita is not residential structure (4)."},
		{CodeRule14, "structures", "L'inserimento si sovrappone a un altro in un'altra struttura.", "The placement overlaps another one in another structure."},
		{CodeRule14, "care", "Un affido residenziale e un inserimento si sovrappongono.", "Residential foster care and a placement overlap."},
		{CodeRule15, "missing", "La forma è giudiziaria (2) ma manca IdProvvedimento.", "The form is judicial (2) but IdProvvedimento is missing."},
		{CodeRule17, "open", "La cartella non può chiudersi: sono ancora aperti {}.", "The case cannot be closed: still open are {}."},
		{CodeRule18, "minor", "{} 3 (maggiore età), ma a DataChiusura la persona ha meno di 18 anni.", "{} 3 (of age), but at DataChiusura the person is less than 18 years old."},
		{CodeRule18, "dead", "Con MotivazioneChiusuraCarico 8 (decesso) {} non è prevista.", "With MotivazioneChiusuraCarico 8 (death) {} is not expected."},
		{CodeRule20, "code", "{} contiene un testo con la forma di un codice fiscale.", "{} holds text that looks like a codice fiscale."},
		{CodeRule21, "cut_off", "Nessun {} di Fotografia è iniziato o finito dalla data di avvio (di norma 2012-01-01) in poi.", "No {} of Fotografia began or ended on the cut-off date (usually 2012-01-01) or later."},
		{CodeRule26, "needed", "Per questo evento serve anche {}, salvo NonIdentificato.", "This event needs {}, too, unless NonIdentificato."},
		{CodeRule26, "both", "{} ha CodiceStrutturaASSO e CodiceRegioneStruttura: ne va indicato uno solo.", "{} has CodiceStrutturaASSO and CodiceRegioneStruttura: only one may be given."},
		{CodeRule26, "neither", "{} non ha né CodiceStrutturaASSO né, fuori regione, CodiceRegioneStruttura.", "{} has neither CodiceStrutturaASSO nor, outside the region, CodiceRegioneStruttura."},
		{CodeNotInState, "state", "L'evento non è ammesso nello stato {} della cartella.", "The event is not allowed in the state {} of the case."},
		{CodeNumberGap, "missing", "Numeri di ProgressivoCartella che mancano prima di questo: {}.", "Numbers of ProgressivoCartella missing before this one: {}."},
		{CodeIncongruent, "count", "Eventi successivi che con questo non sono più ammessi al loro posto: {}.", "Later events that are no longer allowed at their place with this one: {}."},
	}...)
}

// maxText is the longest text of the contract (Testo256Type), in characters.
const maxText = 256

// Speaker finds the texts of violations. It is built once and serves any number of goroutines.
type Speaker struct {
	codes     map[Code]Text
	sentences map[sentenceKey]Sentence
	forms     map[string]Form
}

// sentenceKey names a sentence.
type sentenceKey struct {
	code   Code
	reason string
}

// NewSpeaker has the texts of Codes, Sentences and Forms.
func NewSpeaker() *Speaker {
	s := &Speaker{codes: map[Code]Text{}, sentences: map[sentenceKey]Sentence{}, forms: map[string]Form{}}
	for _, text := range Codes() {
		s.codes[text.Code] = text
	}
	for _, row := range Sentences() {
		s.sentences[sentenceKey{row.Code, row.Reason}] = row
	}
	for _, row := range Forms() {
		s.forms[row.Type] = row
	}
	return s
}

// Say gives what to tell of a violation: its sentence, or the text of its code, and from when a rule
// that only warns for now refuses. Neither is longer than the contract allows: a list that is too
// long ends in an ellipsis and how many there are.
func (s *Speaker) Say(v Violation) Text {
	text := s.codes[v.Code]
	if row, ok := s.sentences[sentenceKey{v.Code, v.Reason}]; ok {
		text = Text{Code: v.Code, IT: s.fill(row.IT, v, italian()), EN: s.fill(row.EN, v, english())}
	}
	if v.BlocksFrom != "" {
		text.IT += " Dal " + v.BlocksFrom + " l'evento sarà rifiutato."
		text.EN += " From " + v.BlocksFrom + " on the event will be refused."
	}
	return text
}

// fill puts a violation's own words into a sentence.
func (s *Speaker) fill(sentence string, v Violation, w words) string {
	if !strings.Contains(sentence, "{") {
		return sentence
	}
	text := strings.NewReplacer(
		"{}", v.About, "{next}", w.next(v.Next), "{found}", w.found(v.Kind, v.Length), "{length}", strconv.Itoa(v.Length),
	).Replace(sentence)
	form, known := s.forms[v.Form]
	if known {
		return strings.ReplaceAll(text, "{form}", w.choose(form))
	}
	return strings.ReplaceAll(text, "{form}", list(v.Form, maxText-utf8.RuneCountInString(text)+len("{form}")))
}

// list writes a|b|c as "a, b, c" in at most room characters.
func list(form string, room int) string {
	all := strings.Split(form, "|")
	text := strings.Join(all, ", ")
	for kept := len(all) - 1; utf8.RuneCountInString(text) > room && kept > 0; kept-- {
		text = strings.Join(all[:kept], ", ") + ", … (" + strconv.Itoa(len(all)) + ")"
	}
	return text
}

// words are the phrases of one language.
type words struct {
	choose                                 func(Form) string
	between, and, after, before, alone     string
	nothing, character, characters, joined string
	kinds                                  [6]string
}

func italian() words {
	return words{
		choose:  func(f Form) string { return f.IT },
		between: "va fra `", and: "` e `", after: "va dopo `", before: "va prima di `", alone: "è necessario",
		nothing: "nulla", character: " carattere: ", characters: " caratteri: ", joined: ", ",
		kinds: [6]string{"lettere minuscole", "lettere maiuscole", "cifre", "segni", "spazi", "altri caratteri"},
	}
}

func english() words {
	return words{
		choose:  func(f Form) string { return f.EN },
		between: "it stands between `", and: "` and `", after: "it stands after `", before: "it stands before `", alone: "it is needed",
		nothing: "nothing", character: " character: ", characters: " characters: ", joined: ", ",
		kinds: [6]string{"lower-case letters", "upper-case letters", "digits", "signs", "blanks", "other characters"},
	}
}

// next says where an element stands.
func (w *words) next(names string) string {
	before, after, _ := strings.Cut(names, "|")
	switch {
	case before != "" && after != "":
		return w.between + before + w.and + after + "`"
	case before != "":
		return w.after + before + "`"
	case after != "":
		return w.before + after + "`"
	}
	return w.alone
}

// found describes a value by length and kinds alone.
func (w *words) found(kind ValueKind, length int) string {
	var kinds []string
	for i, name := range w.kinds {
		if kind&(1<<i) != 0 {
			kinds = append(kinds, name)
		}
	}
	if len(kinds) == 0 {
		return w.nothing
	}
	unit := w.characters
	if length == 1 {
		unit = w.character
	}
	return strconv.Itoa(length) + unit + strings.Join(kinds, w.joined)
}
