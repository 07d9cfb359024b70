#include "event.h"

#include <cstdio>
#include <ctime>
#include <random>

namespace {

// Makes an optional number or code.
template <class T> T *some(struct soap *soap, T value) {
    T *copy = static_cast<T *>(soap_malloc(soap, sizeof(T)));
    *copy = value;
    return copy;
}

sinba__DatiMinoreType *minore(struct soap *soap) {
    sinba__DatiMinoreType *m = soap_new_sinba__DatiMinoreType(soap);
    m->MinoreStranieroNoAcc = sinba__codSiNo__2;
    m->CondizioneMinore = sinba__codCondizioneMinore__1;
    m->LuogoVita = sinba__codLuogoVita__1;
    m->ScuolaFrequentata = sinba__codScuolaFrequentata__5;
    m->CondizioneLavoro = sinba__codCondizioneLavoro__1;
    m->Disabilita = sinba__codSiNo__2;
    return m;
}

sinba__SegnalazioneType *segnalazione(struct soap *soap) {
    sinba__SegnalazioneType *s = soap_new_sinba__SegnalazioneType(soap);
    s->IdSegnalazione = "SGN-21-0121";
    s->DataSegnalazione = "2021-09-10";
    s->PrimaSegnalazione = sinba__codSiNo__1;
    s->FonteSegnalazione = sinba__codFonteSegnalazione__14;
    s->SegnalazioneAutoritaGiudiziaria = sinba__codSiNo__1;
    s->DataSegnalazioneAutorita = optional(soap, "2021-09-12");
    return s;
}

sinba__ValutazioneType *valutazione(struct soap *soap) {
    sinba__ValutazioneType *v = soap_new_sinba__ValutazioneType(soap);
    v->IdValutazione = "VLT-24-0008";
    v->DataValutazione = "2024-02-15";
    v->DatiMinore = minore(soap);
    v->DatiMinore->LuogoVita = sinba__codLuogoVita__3;
    v->DatiMinore->ScuolaFrequentata = sinba__codScuolaFrequentata__6;
    v->DatiMinore->Disabilita = sinba__codSiNo__1;
    v->DatiMinore->TipoDisabilita = some(soap, sinba__codTipoDisabilita__3);
    v->DatiMinore->InvCivCertificazioni = some(soap, sinba__codInvCivCertificazioni__5);
    v->ValutazioneMinore = {sinba__codValutazioneMinore__2, sinba__codValutazioneMinore__7};
    v->ValutazioneFamigliaMinore = {sinba__codValutazioneFamigliaMinore__7, sinba__codValutazioneFamigliaMinore__2};
    v->CollaborazioniInterventi = {sinba__codCollaborazioniInterventi__3, sinba__codCollaborazioniInterventi__5,
                                   sinba__codCollaborazioniInterventi__7};
    v->ISEE = soap_new_sinba__IseeType(soap);
    v->ISEE->NumeroComponentiISEE = 4;
    v->ISEE->FasciaISEEBeneficiario = sinba__codFasciaISEE__3;
    return v;
}

sinba__NucleoFamiliareType *nucleo(struct soap *soap) {
    sinba__NucleoFamiliareType *n = soap_new_sinba__NucleoFamiliareType(soap);
    n->DataRiferimento = "2024-02-15";
    n->ComposizioneFamiglia = {sinba__codComposizioneFamiglia__1, sinba__codComposizioneFamiglia__2,
                               sinba__codComposizioneFamiglia__3};
    n->Padre = soap_new_sinba__GenitoreType(soap);
    n->Padre->CodiceCittadinanza = optional(soap, "203");
    n->Padre->CodiceRegioneResidenza = some(soap, sinba__codRegioneSinba__17);
    n->Padre->TitoloStudio = some(soap, sinba__codTitoloStudio__2);
    n->Padre->Occupazione = some(soap, sinba__codOccupazione__1);
    n->Madre = soap_new_sinba__GenitoreType(soap);
    n->Madre->CodiceCittadinanza = optional(soap, "380");
    n->Madre->Occupazione = some(soap, sinba__codOccupazione__4);
    return n;
}

sinba__InterventoType *intervento(struct soap *soap, const char *id, const char *prestazione, const char *begin) {
    sinba__InterventoType *i = soap_new_sinba__InterventoType(soap);
    i->IdIntervento = id;
    i->Fase = sinba__codFase__APERTURA;
    i->CodicePrestazione = prestazione;
    i->DataInizioPrestazione = begin;
    return i;
}

void addMeasures(struct soap *soap, sinba__FotografiaType *f) {
    sinba__ProgettoType *p = soap_new_sinba__ProgettoType(soap);
    p->IdProgetto = "PQ-21-004";
    p->TipoProgetto = sinba__codTipoProgetto__PROGETTO_USCOREQUADRO;
    p->Fase = sinba__codFase__APERTURA;
    p->DataInizio = "2021-10-15";
    p->DataFinePrevista = optional(soap, "2030-05-09");
    f->Progetto.push_back(p);

    sinba__ProvvedimentoGiudiziarioType *g = soap_new_sinba__ProvvedimentoGiudiziarioType(soap);
    g->IdProvvedimento = "TM-22-0019";
    g->Fase = sinba__codFase__APERTURA;
    g->DataProvvedimentoGiudiziario = "2022-01-09";
    g->AutoritaProvvedimento = sinba__codAutoritaProvvedimento__2;
    g->TipoProvvedimentoGiudiziario = some(soap, sinba__codTipoProvvedimento__4);
    g->PotestaTutela = some(soap, sinba__codPotestaTutela__1);
    f->ProvvedimentoGiudiziario.push_back(g);

    sinba__InterventoType *first = intervento(soap, "PR-21-0442", "A1.20", "2021-10-01");
    first->Fase = sinba__codFase__CHIUSURA;
    first->DataFinePrestazione = optional(soap, "2022-01-10");
    first->Erogatore = some(soap, sinba__codErogatore__TERZO_USCORESETTORE);
    first->OreServizioMensile = some(soap, 12);
    first->MotivoChiusura = some(soap, sinba__codMotivoChiusuraIntervento__CONCLUSO);
    sinba__InterventoType *second = intervento(soap, "PR-22-0031", "A4.02", "2022-02-03");
    second->VoceNomenclatore = optional(soap, "D.2");
    second->IdProgetto = optional(soap, "PQ-21-004");
    second->Erogatore = some(soap, sinba__codErogatore__ASL);
    second->OreServizioMensile = some(soap, 4);
    second->ImportoMensile = optional(soap, "1250.10");
    f->Intervento = {first, second};

    sinba__AffidamentoType *a = soap_new_sinba__AffidamentoType(soap);
    a->IdAffidamento = "AF-22-0007";
    a->Fase = sinba__codFase__APERTURA;
    a->DataInizio = "2022-07-01";
    a->FormaInterventoAffido = sinba__codForma__2;
    a->TipoInterventoAffido = sinba__codTipoAffido__2;
    a->DurataAffido = sinba__codDurataAffido__1;
    a->CarattereAffido = sinba__codCarattereAffido__1;
    a->IdProvvedimento = optional(soap, "TM-22-0019");
    f->Affidamento.push_back(a);

    sinba__InserimentoStrutturaType *s = soap_new_sinba__InserimentoStrutturaType(soap);
    s->IdInserimento = "IS-22-003";
    s->Fase = sinba__codFase__CHIUSURA;
    s->CodiceStrutturaASSO = optional(soap, "ASSO-PI-0007");
    s->DataIngresso = "2022-01-13";
    s->DataDimissione = optional(soap, "2022-07-01");
    s->CarattereInserimentoResidenziale = sinba__codCarattereInserimento__10;
    s->FormaInserimentoResidenziale = sinba__codForma__2;
    s->TipoInserimentoResidenziale = sinba__codTipoInserimento__2;
    s->EsitoInserimentoStruttura = some(soap, sinba__codEsitoInserimento__2);
    s->IdProvvedimento = optional(soap, "TM-22-0019");
    f->InserimentoStruttura.push_back(s);
}

// Builds the body of a CARICAMENTO_INIZIALE. A choice is a union with a selector beside it.
sinba__DettaglioType *dettaglio(struct soap *soap) {
    sinba__FotografiaType *f = soap_new_sinba__FotografiaType(soap);
    f->DataRiferimento = "2024-03-31";
    f->PresaInCarico = soap_new_sinba__PresaInCaricoType(soap);
    f->PresaInCarico->DataPresaInCarico = "2021-09-24";
    f->PresaInCarico->TipoPresaInCarico = sinba__codTipoPresaInCarico__SOCIO_USCORESANITARIA;
    f->PresaInCarico->MotivoPrevalente = some(soap, sinba__codValutazioneMinore__7);
    f->PresaInCarico->DatiMinore = minore(soap);
    f->Segnalazione = segnalazione(soap);
    f->Valutazione = valutazione(soap);
    f->NucleoFamiliare = nucleo(soap);
    addMeasures(soap, f);
    sinba__DettaglioType *d = soap_new_sinba__DettaglioType(soap);
    d->__union_DettaglioType = SOAP_UNION__sinba__union_DettaglioType_Fotografia;
    d->union_DettaglioType.Fotografia = f;
    return d;
}

sinba__MittenteType *mittente(struct soap *soap) {
    sinba__MittenteType *m = soap_new_sinba__MittenteType(soap);
    m->Ente = soap_new_sinba__EnteMittenteType(soap);
    m->Ente->CodiceEnte = "SDS-PI";
    m->Ente->CodiceFiscaleEnte = "80000000010";
    m->Ente->TipoEnte = sinba__codTipoEnte__SDS;
    m->Ente->Denominazione = "Società della Salute dell'Area \"Pisana\" & Valdera";
    m->Ente->CodiceZona = "Z15";
    m->Applicativo = soap_new_sinba__ApplicativoType(soap);
    m->Applicativo->Fornitore = "Alias2k";
    m->Applicativo->Prodotto = "Gesocial";
    m->Applicativo->Versione = "5.1";
    m->IdOperatoreLocale = optional(soap, "GS:12");
    return m;
}

sinba__SoggettoType *soggetto(struct soap *soap) {
    sinba__SoggettoType *s = soap_new_sinba__SoggettoType(soap);
    s->IdAssistitoLocale = "A-00950-0012";
    s->Identificativo = soap_new_sinba__IdentificativoPersonaType(soap);
    s->Identificativo->__union_IdentificativoPersonaType = SOAP_UNION__sinba__union_IdentificativoPersonaType_CodiceFiscale;
    s->Identificativo->union_IdentificativoPersonaType.CodiceFiscale = optional(soap, "DNGZCL12E49G702K");
    s->Anagrafica = soap_new_sinba__AnagraficaType(soap);
    s->Anagrafica->Cognome = optional(soap, "D'Angelò Škoda");
    s->Anagrafica->Nome = optional(soap, "Zoë Nicolò");
    s->Anagrafica->Sesso = sinba__codSesso__F;
    s->Anagrafica->DataNascita = "2012-05-09";
    s->Anagrafica->LuogoNascita = optional(soap, "G702");
    s->Anagrafica->CodiceCittadinanza = "380";
    s->Anagrafica->Residenza = soap_new_sinba__IndirizzoType(soap);
    s->Anagrafica->Residenza->CodiceNazione = "380";
    s->Anagrafica->Residenza->CodiceComune = optional(soap, "050026");
    s->Anagrafica->Residenza->CAP = optional(soap, "56127");
    s->Anagrafica->Residenza->Indirizzo = optional(soap, "Via dell'Esempio 7/A, località Più su <interno 2> €");
    return s;
}

} // namespace

// soap_rand_uuid will not do: all but its first 32 bits come from an unseeded rand().
std::string newUuid() {
    std::random_device random;
    unsigned a = random(), b = random(), c = random(), d = random();
    char text[37];
    snprintf(text, sizeof text, "%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xfff, 0x8000 | (c >> 16 & 0x3fff),
             c & 0xffff, d);
    return text;
}

std::string *optional(struct soap *soap, const std::string &value) {
    std::string *copy = soap_new_std__string(soap);
    *copy = value;
    return copy;
}

sinba__MessaggioEventoType *newEvent(struct soap *soap) {
    sinba__MessaggioEventoType *e = soap_new_sinba__MessaggioEventoType(soap);
    e->versione = optional(soap, "1.0");
    e->Testata = soap_new_sinba__TestataType(soap);
    e->Testata->IdMessaggio = newUuid();
    e->Testata->IdEvento = newUuid();
    e->Testata->TipoEvento = sinba__codTipoEvento__CARICAMENTO_USCOREINIZIALE;
    e->Testata->TipoOperazione = sinba__codTipoOperazione__I;
    e->Testata->ProgressivoCartella = 1;
    e->Testata->DataOraEvento = 1712736000; // 2024-04-10T08:00:00Z
    e->Testata->DataOraInvio = time(nullptr);
    e->Testata->Ambiente = some(soap, sinba__codAmbiente__PROD);
    e->Mittente = mittente(soap);
    e->Soggetto = soggetto(soap);
    e->Cartella = soap_new_sinba__RiferimentoCartellaType(soap);
    e->Cartella->IdCartella = "2024/" + e->Testata->IdEvento.substr(0, 8);
    e->Cartella->DataApertura = "2021-09-10";
    e->Dettaglio = dettaglio(soap);
    return e;
}
