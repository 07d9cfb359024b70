package hub

// Code is a stable number of the contract: SINBA_nnn.
type Code string

// Text is what a code means, for people. At most 256 characters each (Testo256Type).
type Text struct {
	Code Code
	IT   string
	EN   string
}

// The codes. 0xx transport and envelope, 1xx identity of message and sender, 2xx schema,
// 3xx rules (SINBA_3nn is BR-nn; 36x are codes unknown to the reference data), 4xx life cycle, 5xx the hub's own trouble. A number is never
// given another meaning.
const (
	CodeMalformed         Code = "SINBA_001"
	CodeEncoding          Code = "SINBA_002"
	CodeDoctype           Code = "SINBA_003"
	CodeNotSOAP           Code = "SINBA_004"
	CodeLimit             Code = "SINBA_005"
	CodeBodyTooLarge      Code = "SINBA_006"
	CodeMediaType         Code = "SINBA_007"
	CodeContentEncoding   Code = "SINBA_008"
	CodeMustUnderstand    Code = "SINBA_009"
	CodeUnknownOperation  Code = "SINBA_010"
	CodeActionMismatch    Code = "SINBA_011"
	CodeMethod            Code = "SINBA_012"
	CodeVersion           Code = "SINBA_013"
	CodeEnvelopeVersion   Code = "SINBA_014"
	CodeSlowRequest       Code = "SINBA_015"
	CodeBadRequest        Code = "SINBA_016"
	CodeAnswerElsewhere   Code = "SINBA_017"
	CodeNoCredential      Code = "SINBA_101"
	CodeEnvironment       Code = "SINBA_102"
	CodeNilID             Code = "SINBA_103"
	CodeUnknownEvent      Code = "SINBA_104"
	CodeEnteNeeded        Code = "SINBA_105"
	CodePeriod            Code = "SINBA_106"
	CodeCursor            Code = "SINBA_107"
	CodeUnknownCase       Code = "SINBA_108"
	CodeConflict          Code = "SINBA_110"
	CodeInProgress        Code = "SINBA_111"
	CodeSchemaMissing     Code = "SINBA_201"
	CodeSchemaUnexpected  Code = "SINBA_202"
	CodeSchemaPattern     Code = "SINBA_203"
	CodeSchemaEnumeration Code = "SINBA_204"
	CodeSchemaLength      Code = "SINBA_205"
	CodeSchemaType        Code = "SINBA_206"
	CodeSchemaRange       Code = "SINBA_207"
	CodeSchemaAttribute   Code = "SINBA_208"
	CodeSchemaBlanks      Code = "SINBA_209"
	CodeSchemaContent     Code = "SINBA_210"
	CodeSchemaOther       Code = "SINBA_299"
	CodeRule01            Code = "SINBA_301"
	CodeRule02            Code = "SINBA_302"
	CodeRule03            Code = "SINBA_303"
	CodeRule04            Code = "SINBA_304"
	CodeRule05            Code = "SINBA_305"
	CodeRule06            Code = "SINBA_306"
	CodeRule07            Code = "SINBA_307"
	CodeRule08            Code = "SINBA_308"
	CodeRule09            Code = "SINBA_309"
	CodeRule10            Code = "SINBA_310"
	CodeRule11            Code = "SINBA_311"
	CodeRule12            Code = "SINBA_312"
	CodeRule13            Code = "SINBA_313"
	CodeRule14            Code = "SINBA_314"
	CodeRule15            Code = "SINBA_315"
	CodeRule16            Code = "SINBA_316"
	CodeRule17            Code = "SINBA_317"
	CodeRule18            Code = "SINBA_318"
	CodeRule19            Code = "SINBA_319"
	CodeRule20            Code = "SINBA_320"
	CodeRule21            Code = "SINBA_321"
	CodeRule22            Code = "SINBA_322"
	CodeRule23            Code = "SINBA_323"
	CodeRule24            Code = "SINBA_324"
	CodeRule25            Code = "SINBA_325"
	CodeRule26            Code = "SINBA_326"
	CodeUnknownPlace      Code = "SINBA_360"
	CodeUnknownState      Code = "SINBA_361"
	CodeUnknownService    Code = "SINBA_362"
	CodeNoCase            Code = "SINBA_401"
	CodeCaseOpen          Code = "SINBA_402"
	CodeNotInState        Code = "SINBA_403"
	CodeEventAnnulled     Code = "SINBA_404"
	CodeOpeningHeld       Code = "SINBA_405"
	CodeCaseAnnulled      Code = "SINBA_406"
	CodeTooManyItems      Code = "SINBA_407"
	CodeSameNumber        Code = "SINBA_411"
	CodeNumberGap         Code = "SINBA_412"
	CodeOpeningDate       Code = "SINBA_413"
	CodeIncongruent       Code = "SINBA_414"
	CodeRefusedBySISS     Code = "SINBA_490"
	CodeInternal          Code = "SINBA_500"
	CodeValidatorDied     Code = "SINBA_501"
	CodeUnavailable       Code = "SINBA_502"
	CodeOverloaded        Code = "SINBA_503"
	CodeMaintenance       Code = "SINBA_504"
	CodeStopping          Code = "SINBA_505"
	CodeRateLimited       Code = "SINBA_506"
)

// Codes is the one table of codes, in their order. It is served at /docs/codici.
func Codes() []Text {
	return []Text{
		{CodeMalformed, "Il messaggio non è XML ben formato.", "The message is not well-formed XML."},
		{CodeEncoding, "Il messaggio deve essere UTF-8, senza caratteri nulli.", "The message must be UTF-8 without null characters."},
		{CodeDoctype, "Le dichiarazioni DOCTYPE non sono ammesse.", "DOCTYPE declarations are not allowed."},
		{CodeNotSOAP, "Il messaggio non è una busta SOAP con un solo elemento nel Body.", "The message is not a SOAP envelope with exactly one element in its Body."},
		{CodeLimit, "Il messaggio supera un limite di struttura (profondità, attributi, elementi, nomi o testi).", "The message exceeds a limit of structure (depth, attributes, elements, names or texts)."},
		{CodeBodyTooLarge, "Il corpo della richiesta supera 2 MiB.", "The request body exceeds 2 MiB."},
		{CodeMediaType, "Il tipo di contenuto deve essere text/xml (SOAP 1.1) o application/soap+xml (SOAP 1.2), con charset UTF-8.", "The content type must be text/xml (SOAP 1.1) or application/soap+xml (SOAP 1.2), with charset UTF-8."},
		{CodeContentEncoding, "Il corpo non deve essere compresso (Content-Encoding).", "The body must not be compressed (Content-Encoding)."},
		{CodeMustUnderstand, "Un'intestazione SOAP con mustUnderstand non è riconosciuta.", "A SOAP header with mustUnderstand is not understood."},
		{CodeUnknownOperation, "L'elemento del Body non è una richiesta del contratto.", "The element in the Body is not a request of the contract."},
		{CodeActionMismatch, "SOAPAction (o il parametro action) indica un'altra operazione rispetto al Body.", "SOAPAction (or the action parameter) names another operation than the Body."},
		{CodeMethod, "Il servizio accetta POST; il WSDL si legge con GET ?wsdl.", "The service takes POST; the WSDL is read with GET ?wsdl."},
		{CodeVersion, "La versione del contratto dichiarata non è servita; è servita la 1.0.", "The declared contract version is not served; 1.0 is served."},
		{CodeEnvelopeVersion, "La busta non è né SOAP 1.1 né SOAP 1.2.", "The envelope is neither SOAP 1.1 nor SOAP 1.2."},
		{CodeSlowRequest, "La richiesta non è arrivata intera entro il tempo previsto.", "The request did not arrive whole in time."},
		{CodeBadRequest, "La richiesta HTTP è ambigua, non conforme a RFC 9112 (lunghezza, Transfer-Encoding, intestazioni) o ha intestazioni troppo lunghe.", "The HTTP request is ambiguous, not as RFC 9112 asks (length, Transfer-Encoding, headers), or its headers are too long."},
		{CodeAnswerElsewhere, "La risposta va solo sulla connessione della richiesta: wsa:ReplyTo e wsa:FaultTo possono essere soltanto anonimi.", "The answer goes over the request's connection only: wsa:ReplyTo and wsa:FaultTo can only be anonymous."},
		{CodeNoCredential, "Credenziale assente o non valida.", "Missing or invalid credential."},
		{CodeEnvironment, "L'Ambiente dichiarato non è quello di questo servizio.", "The declared Ambiente is not this service's."},
		{CodeNilID, "L'identificativo nullo (tutti zeri) non è ammesso.", "The nil identifier (all zeroes) is not allowed."},
		{CodeUnknownEvent, "Nessun evento con questo identificativo per l'ente.", "No event with this identifier for the ente."},
		{CodeEnteNeeded, "CodiceEnte è necessario: la credenziale vale per più enti.", "CodiceEnte is needed: the credential stands for several enti."},
		{CodePeriod, "Periodo non valido: Al precede Dal, o i giorni sono più di 366.", "Invalid period: Al is before Dal, or there are more than 366 days."},
		{CodeCursor, "Il Cursore non è stato dato da questo servizio per questa richiesta: ripeterla senza.", "The Cursore was not given by this service for this request: repeat it without."},
		{CodeUnknownCase, "Nessuna cartella con questo identificativo per l'ente.", "No case with this identifier for the ente."},
		{CodeConflict, "IdEvento già ricevuto con altro contenuto.", "IdEvento was already received with other content."},
		{CodeInProgress, "Lo stesso evento è in corso di accettazione: ripetere tra poco.", "The same event is being accepted now: repeat shortly."},
		{CodeSchemaMissing, "Manca un elemento obbligatorio, o gli elementi non sono nell'ordine dello schema.", "A required element is missing, or the elements are not in the schema's order."},
		{CodeSchemaUnexpected, "Elemento non previsto dallo schema in questa posizione.", "Element not expected by the schema at this place."},
		{CodeSchemaPattern, "Il valore non ha la forma prevista dallo schema.", "The value does not have the form the schema asks for."},
		{CodeSchemaEnumeration, "Il valore non è nell'elenco dei codici ammessi.", "The value is not in the list of allowed codes."},
		{CodeSchemaLength, "Il valore è troppo corto o troppo lungo.", "The value is too short or too long."},
		{CodeSchemaType, "Il valore non è del tipo previsto (data, istante, numero).", "The value is not of the type the schema asks for (date, instant, number)."},
		{CodeSchemaRange, "Il numero è fuori dall'intervallo ammesso.", "The number is out of the allowed range."},
		{CodeSchemaAttribute, "Attributo non previsto dallo schema, o attributo obbligatorio assente.", "Attribute not expected by the schema, or required attribute missing."},
		{CodeSchemaBlanks, "Il valore ha spazi o a capo prima o dopo: toglierli.", "The value has blanks or line breaks around it: remove them."},
		{CodeSchemaContent, "L'elemento ha testo dove lo schema vuole elementi, o elementi dove vuole testo.", "The element has text where the schema asks for elements, or elements where it asks for text."},
		{CodeSchemaOther, "Il messaggio non è conforme allo schema in questo punto.", "The message does not conform to the schema at this place."},
		{CodeRule01, "Il corpo di Dettaglio non corrisponde a TipoEvento e TipoOperazione.", "The body of Dettaglio does not match TipoEvento and TipoOperazione."},
		{CodeRule02, "IdEventoRiferito non indica un evento di questa cartella che si possa rettificare o annullare.", "IdEventoRiferito names no event of this case that can be corrected or annulled."},
		{CodeRule03, "Codice fiscale: carattere di controllo o data errati, o incoerenza con l'Anagrafica.", "Codice fiscale: wrong check character or date, or not coherent with Anagrafica."},
		{CodeRule04, "Codice STP, ENI o provvisorio: regione o cifra di controllo errata.", "STP, ENI or provisional code: wrong region or check digit."},
		{CodeRule05, "Età alla presa in carico: da 18 a 20 anni solo per prosieguo amministrativo, da 21 anni non ammessa.", "Age when taken in charge: from 18 to 20 only as care prolonged by a court, from 21 on not allowed."},
		{CodeRule06, "Date non coerenti: una data è nel futuro o non rispetta nascita ≤ apertura ≤ presa in carico ≤ chiusura.", "Dates not coherent: a date is in the future or breaks birth ≤ opening ≤ taking in charge ≤ closing."},
		{CodeRule07, "Disabilita e i suoi dettagli (TipoDisabilita, InvCivCertificazioni) non concordano.", "Disabilita and its details (TipoDisabilita, InvCivCertificazioni) do not agree."},
		{CodeRule08, "Una segnalazione all'autorità giudiziaria ha la sua data (DataSegnalazioneAutorita).", "A report to the courts has its date (DataSegnalazioneAutorita)."},
		{CodeRule09, "Minore straniero non accompagnato: la cittadinanza o la famiglia indicate non concordano.", "Unaccompanied foreign minor: the citizenship or the family told do not agree."},
		{CodeRule10, "CondizioneMinore e i genitori indicati in NucleoFamiliare non concordano.", "CondizioneMinore and the parents told in NucleoFamiliare do not agree."},
		{CodeRule11, "ComposizioneFamiglia ripete lo stesso componente.", "ComposizioneFamiglia repeats the same member."},
		{CodeRule12, "Con Fase CHIUSURA servono la data di fine e, per affidamenti e inserimenti, l'esito.", "With Fase CHIUSURA the end date is needed and, for Affidamento and InserimentoStruttura, the outcome."},
		{CodeRule13, "LuogoVita non concorda con gli affidi e gli inserimenti aperti della cartella.", "LuogoVita does not agree with the case's open foster care and placements."},
		{CodeRule14, "L'inserimento o l'affido si sovrappone a un altro della stessa cartella.", "The placement or foster care overlaps another one of the same case."},
		{CodeRule15, "La forma è giudiziaria ma il provvedimento indicato non è noto nella cartella.", "The form is judicial but the order it names is not known in the case."},
		{CodeRule16, "La struttura non è nell'anagrafe delle strutture, o non era attiva a questa data.", "The structure is not in the register of structures, or was not active at this date."},
		{CodeRule17, "La cartella non può chiudersi con interventi, affidi o inserimenti aperti.", "The case cannot be closed while services, foster care or placements are open."},
		{CodeRule18, "MotivazioneChiusuraCarico non concorda con l'età o con SituazioneChiusuraCarico.", "MotivazioneChiusuraCarico does not agree with the age or with SituazioneChiusuraCarico."},
		{CodeRule19, "Regione da controllare nell'elenco SINBA: 09 è la Liguria (la Toscana è 17); una struttura toscana va indicata col codice ASSO.", "Region to be checked in the SINBA list: 09 is Liguria (Toscana is 17); a structure in Toscana is named by its ASSO code."},
		{CodeRule20, "Un campo codice contiene un testo con la forma di un codice fiscale.", "A code field holds text that looks like a codice fiscale."},
		{CodeRule21, "Un caricamento iniziale ha almeno un Intervento iniziato o finito dalla data di avvio in poi.", "An initial load has at least one Intervento begun or ended on the cut-off date or later."},
		{CodeRule22, "Dopo l'adozione la cartella ammette solo chiusure, rettifiche e annullamenti.", "After the adoption the case takes only closings, corrections and annulments."},
		{CodeRule23, "Il mittente non può parlare per questo CodiceEnte.", "The sender may not speak for this CodiceEnte."},
		{CodeRule24, "L'Applicativo non è certificato per questa versione del contratto.", "The Applicativo is not certified for this version of the contract."},
		{CodeRule25, "L'identificativo non è quello del minore di questa cartella: se è cambiato, inviare prima VARIAZIONE_ANAGRAFICA con IdentificativoPrecedente.", "The identifier is not that of this case's child: if it changed, send VARIAZIONE_ANAGRAFICA with IdentificativoPrecedente first."},
		{CodeRule26, "Mancano dati necessari per questo evento (Cognome, Sesso, DataNascita; oppure la struttura o la sua regione).", "Data needed for this event are missing (Cognome, Sesso, DataNascita; or the structure or its region)."},
		{CodeUnknownPlace, "Comune sconosciuto, o non in uso a questa data: alla nascita per LuogoNascita, alla data dell'evento per gli altri.", "Municipality unknown, or not in use at this date: at birth for LuogoNascita, at the event's date for the others."},
		{CodeUnknownState, "Stato sconosciuto, o non in uso a questa data: alla nascita per LuogoNascita, alla data dell'evento per gli altri.", "State unknown, or not in use at this date: at birth for LuogoNascita, at the event's date for the others."},
		{CodeUnknownService, "Prestazione o voce di nomenclatore non nell'elenco della Regione a questa data; se sconosciuta è conservata come «altro».", "Service or item of the nomenclature not in the region's list at this date; if unknown it is stored as “altro”."},
		{CodeNoCase, "Nessuna cartella aperta con questo IdCartella: inviare prima l'apertura.", "No case was opened under this IdCartella: send the opening first."},
		{CodeCaseOpen, "La cartella è già aperta con questo IdCartella.", "A case is already open under this IdCartella."},
		{CodeNotInState, "L'evento non è ammesso nello stato in cui si trova la cartella.", "The event is not allowed in the state of the case."},
		{CodeEventAnnulled, "L'evento indicato in IdEventoRiferito è già annullato.", "The event named in IdEventoRiferito is already annulled."},
		{CodeOpeningHeld, "L'apertura non può essere annullata: altri eventi della cartella sono vivi.", "The opening cannot be annulled: other events of the case are live."},
		{CodeCaseAnnulled, "La cartella è annullata: usare un nuovo IdCartella.", "The case is annulled: use a new IdCartella."},
		{CodeTooManyItems, "La cartella avrebbe più di 1000 interventi aperti, affidi, inserimenti e provvedimenti in tutto.", "The case would have more than 1,000 open services, foster care, placements and orders in all."},
		{CodeSameNumber, "ProgressivoCartella già usato da un altro evento della cartella.", "ProgressivoCartella was already used by another event of the case."},
		{CodeNumberGap, "Mancano numeri di ProgressivoCartella prima di questo: vedi riepilogoEventi.", "Numbers of ProgressivoCartella before this one are missing: see riepilogoEventi."},
		{CodeOpeningDate, "DataApertura non è quella con cui la cartella fu aperta.", "DataApertura is not that with which the case was opened."},
		{CodeIncongruent, "Con questo evento altri eventi successivi della cartella non sono più ammessi al loro posto.", "With this event other, later events of the case are no longer allowed at their place."},
		{CodeRefusedBySISS, "Il sistema nazionale SISS ha rifiutato l'evento: il suo codice sta in Regola.", "The national system SISS refused the event: its code stands in Regola."},
		{CodeInternal, "Errore interno del servizio: nulla è stato memorizzato, ripetere l'invio.", "Internal error of the service: nothing was stored, send again."},
		{CodeValidatorDied, "Il controllo del messaggio non è riuscito: nulla è stato memorizzato.", "The message could not be checked: nothing was stored."},
		{CodeUnavailable, "Il servizio non è momentaneamente disponibile: nulla di certo è stato memorizzato, ripetere l'invio.", "The service is not available for the moment: nothing is known to be stored, send again."},
		{CodeOverloaded, "Servizio sovraccarico: ripetere dopo il tempo indicato in Retry-After.", "Service overloaded: repeat after the time in Retry-After."},
		{CodeMaintenance, "Servizio in manutenzione: ripetere dopo il tempo indicato in Retry-After.", "Service in maintenance: repeat after the time in Retry-After."},
		{CodeStopping, "Il servizio si sta fermando: ripetere tra poco.", "The service is stopping: repeat shortly."},
		{CodeRateLimited, "Il mittente ha raggiunto il proprio limite di richieste: ripetere dopo il tempo indicato in Retry-After.", "The sender reached its own limit of requests: repeat after the time in Retry-After."},
	}
}
