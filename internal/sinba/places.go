package sinba

// places are the nodes that accessors and rules ask for by name, looked up once.
type places struct {
	version                                      int16
	messageID, eventID, refersTo                 int16
	eventType, operation, sequence               int16
	occurredAt, sentAt, environment              int16
	ente, zone                                   int16
	vendor, product, productVersion, certificate int16
	localSubject, identifier, previous           int16
	master, surname, name, sex, birth, presumed  int16
	birthPlace, citizenship, citizenship2        int16
	localCase, openedOn                          int16
	detail, closing                              int16
	placement, structure, structureRegion        int16
	// pseudonym is written by Regional in the place of the identifier; the event schema has none.
	pseudonym int16
	// takenIn are all dates of taking in charge.
	takenIn []int16
	// planned are the dates that may lie in the future.
	planned []int16
}

// locate fills places, and adds the leaf that only the regional event has.
func (c *Catalogue) locate() error {
	byPath := make(map[string]int16, len(c.nodes))
	for i := range c.nodes {
		byPath[c.nodes[i].path] = int16(i)
	}
	at := &c.at
	for path, to := range map[string]*int16{
		"/@versione":                                               &at.version,
		"/Testata/IdMessaggio":                                     &at.messageID,
		"/Testata/IdEvento":                                        &at.eventID,
		"/Testata/IdEventoRiferito":                                &at.refersTo,
		"/Testata/TipoEvento":                                      &at.eventType,
		"/Testata/TipoOperazione":                                  &at.operation,
		"/Testata/ProgressivoCartella":                             &at.sequence,
		"/Testata/DataOraEvento":                                   &at.occurredAt,
		"/Testata/DataOraInvio":                                    &at.sentAt,
		"/Testata/Ambiente":                                        &at.environment,
		"/Mittente/Ente/CodiceEnte":                                &at.ente,
		"/Mittente/Ente/CodiceZona":                                &at.zone,
		"/Mittente/Applicativo/Fornitore":                          &at.vendor,
		"/Mittente/Applicativo/Prodotto":                           &at.product,
		"/Mittente/Applicativo/Versione":                           &at.productVersion,
		"/Mittente/Applicativo/IdCertificazione":                   &at.certificate,
		"/Soggetto/IdAssistitoLocale":                              &at.localSubject,
		"/Soggetto/Identificativo":                                 &at.identifier,
		"/Soggetto/Anagrafica":                                     &at.master,
		"/Soggetto/Anagrafica/Cognome":                             &at.surname,
		"/Soggetto/Anagrafica/Nome":                                &at.name,
		"/Soggetto/Anagrafica/Sesso":                               &at.sex,
		"/Soggetto/Anagrafica/DataNascita":                         &at.birth,
		"/Soggetto/Anagrafica/DataNascitaPresunta":                 &at.presumed,
		"/Soggetto/Anagrafica/LuogoNascita":                        &at.birthPlace,
		"/Soggetto/Anagrafica/CodiceCittadinanza":                  &at.citizenship,
		"/Soggetto/Anagrafica/CodiceSecondaCittadinanza":           &at.citizenship2,
		"/Cartella/IdCartella":                                     &at.localCase,
		"/Cartella/DataApertura":                                   &at.openedOn,
		"/Dettaglio":                                               &at.detail,
		"/Dettaglio/ChiusuraCartella/DataChiusura":                 &at.closing,
		"/Dettaglio/InserimentoStruttura":                          &at.placement,
		"/Dettaglio/InserimentoStruttura/CodiceStrutturaASSO":      &at.structure,
		"/Dettaglio/InserimentoStruttura/CodiceRegioneStruttura":   &at.structureRegion,
		"/Dettaglio/VariazioneAnagrafica/IdentificativoPrecedente": &at.previous,
	} {
		i, ok := byPath[path]
		if !ok {
			return &catalogueError{"element not found in the event schema", path}
		}
		*to = i
	}
	for i := range c.nodes {
		switch n := &c.nodes[i]; {
		case n.typ == nil || n.typ.kind != kindDate:
		case n.name == "DataPresaInCarico":
			at.takenIn = append(at.takenIn, int16(i))
		case n.name == "DataFinePrevista":
			at.planned = append(at.planned, int16(i))
		}
	}
	var err error
	at.pseudonym, err = c.add(node{
		name: "Pseudonimo", parent: at.identifier, least: 0, most: 1, regionalOnly: true,
		typ: c.nodes[c.nodes[at.identifier].children[0]].typ, regional: ClassPseudonym,
		national: ClassPseudonym, outputs: []string{nationalBeneficiary},
		nationalOpen: "<" + nationalBeneficiary + ">", nationalClose: "</" + nationalBeneficiary + ">",
	})
	if err != nil {
		return err
	}
	parent := &c.nodes[at.identifier]
	parent.children = append(parent.children, at.pseudonym)
	return c.assign()
}

// nationalBeneficiary is the child's code in the national event.
const nationalBeneficiary = "IDBeneficiario"
