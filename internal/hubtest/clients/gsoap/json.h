// Writes what the service answers as JSON, for the test that compares the stacks.
#ifndef JSON_H
#define JSON_H

#include <sstream>
#include <string>
#include <vector>

#include "soapH.h"

inline std::string quoted(const std::string &text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

// Collects the members of an object, leaving out what is absent.
class Object {
  public:
    Object &add(const char *name, const std::string &text) { return raw(name, quoted(text)); }
    Object &add(const char *name, const std::string *text) { return text ? add(name, *text) : *this; }
    Object &add(const char *name, const int *number) { return number ? raw(name, std::to_string(*number)) : *this; }
    Object &raw(const char *name, const std::string &value) {
        text += (text.empty() ? "" : ",") + quoted(name) + ":" + value;
        return *this;
    }
    std::string str() const { return "{" + text + "}"; }

  private:
    std::string text;
};

inline std::string json(struct soap *soap, const std::vector<sinba__AnomaliaType *> &list) {
    std::string out;
    for (const sinba__AnomaliaType *a : list) {
        Object o;
        o.add("Codice", a->Codice).add("Rilevanza", std::string(soap_sinba__codRilevanza2s(soap, a->Rilevanza)));
        o.add("Posizione", a->Posizione).add("Riga", a->Riga).add("Descrizione", a->Descrizione);
        o.add("DescrizioneEN", a->DescrizioneEN).add("Regola", a->Regola).add("Riferimento", a->Riferimento);
        out += (out.empty() ? "" : ",") + o.str();
    }
    return "[" + out + "]";
}

inline std::string json(struct soap *soap, const sinba__StatoServizioType &s) {
    Object o;
    o.add("Messaggio", s.Messaggio).add("VersioneServizio", s.VersioneServizio).add("VersioneSchema", s.VersioneSchema);
    o.add("DataOra", std::string(soap_dateTime2s(soap, s.DataOra))).raw("Disponibile", s.Disponibile ? "true" : "false");
    return o.str();
}

inline std::string json(struct soap *soap, const sinba__RapportoVerificaType &r) {
    Object o;
    o.raw("Conforme", r.Conforme ? "true" : "false");
    if (r.EsitoPrevisto) o.add("EsitoPrevisto", std::string(soap_sinba__codEsitoPrevisto2s(soap, *r.EsitoPrevisto)));
    return o.add("VersioneSchema", r.VersioneSchema).raw("Anomalia", json(soap, r.Anomalia)).str();
}

inline std::string json(struct soap *soap, const sinba__RicevutaEventoType &r) {
    Object o;
    o.add("IdRicevuta", r.IdRicevuta).add("IdMessaggio", r.IdMessaggio).add("IdEvento", r.IdEvento);
    o.add("Esito", std::string(soap_sinba__codEsitoRicezione2s(soap, r.Esito)));
    o.add("DataOraRicezione", std::string(soap_dateTime2s(soap, r.DataOraRicezione)));
    o.add("ImprontaMessaggio", r.ImprontaMessaggio).add("SaleImpronta", r.SaleImpronta);
    return o.add("IdRegistrazione", r.IdRegistrazione).raw("Avviso", json(soap, r.Avviso)).str();
}

inline std::string json(struct soap *soap, const sinba__StatoEventoType &s) {
    Object o;
    o.add("IdEvento", s.IdEvento).add("IdRicevuta", s.IdRicevuta);
    o.add("Stato", std::string(soap_sinba__codStatoEvento2s(soap, s.Stato))).add("Tentativi", &s.Tentativi);
    return o.raw("Anomalia", json(soap, s.Anomalia)).str();
}

inline std::string json(struct soap *soap, const sinba__ErroreSinbaType &e) {
    Object o;
    o.add("IdTransazione", e.IdTransazione).add("DataOra", std::string(soap_dateTime2s(soap, e.DataOra)));
    return o.add("AnomalieTotali", e.AnomalieTotali).raw("Anomalia", json(soap, e.Anomalia)).str();
}

inline std::string json(struct soap *soap, const sinba__RiepilogoEventiType &r) {
    std::string totals, events;
    for (const sinba__TotaleGiornoType *t : r.Totale) {
        Object o;
        o.add("Giorno", t->Giorno).add("TipoEvento", std::string(soap_sinba__codTipoEvento2s(soap, t->TipoEvento)));
        totals += (totals.empty() ? "" : ",") + o.add("Numero", &t->Numero).add("Impronta", t->Impronta).str();
    }
    for (const sinba__VoceEventoType *e : r.VoceEvento) {
        Object o;
        o.add("IdEvento", e->IdEvento).add("IdRicevuta", e->IdRicevuta);
        o.add("TipoEvento", std::string(soap_sinba__codTipoEvento2s(soap, e->TipoEvento)));
        events += (events.empty() ? "" : ",") + o.add("Stato", std::string(soap_sinba__codStatoEvento2s(soap, e->Stato))).str();
    }
    Object o;
    return o.raw("Totale", "[" + totals + "]").raw("VoceEvento", "[" + events + "]").str();
}

inline std::string json(struct soap *soap, const sinba__EsitoLottoType &l) {
    std::string list;
    for (const sinba__EsitoEventoType *e : l.EsitoEvento) {
        Object o;
        o.add("Posizione", &e->Posizione).add("IdEvento", e->IdEvento);
        if (e->Ricevuta) o.raw("Ricevuta", json(soap, *e->Ricevuta));
        if (e->Errore) o.raw("Errore", json(soap, *e->Errore));
        list += (list.empty() ? "" : ",") + o.str();
    }
    Object o;
    return o.add("IdLotto", l.IdLotto).raw("EsitoEvento", "[" + list + "]").str();
}

#endif
