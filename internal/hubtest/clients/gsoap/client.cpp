// A vendor's client made by gSOAP from the served WSDL:
//
//     wsdl2h -Nsinba -o sinba.h WSDL_URL
//     soapcpp2 -2 -j -CL -w -x sinba.h
//     g++ client.cpp event.cpp history.cpp soapC.cpp soapSinbaEventiSoap1?Proxy.cpp -lgsoap++
//
// soapcpp2's -1 or -2 makes it a client of SOAP 1.1 or 1.2, whatever the proxy is called.
//
// Usage: client WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE (the address used stands in the proxy)
//
// Builds whole events from gSOAP's types, calls every operation, and prints one JSON line a step,
// the same steps as the clients of the other stacks. Any other error is a failure of the contract
// with this stack.
//
// Usage: client WSDL_URL SOAP11|SOAP12 FILE
//
// FILE has one event a line: user, password file and document, parted by tabs. Sends each from the
// objects that gSOAP makes of its document, and prints Esito, SaleImpronta and ImprontaMessaggio, one
// event a line; a refusal ends it.
#include <ctime>
#include <fstream>
#include <iostream>

#include "SinbaEventiSoap11.nsmap"
#include "event.h"
#include "history.h"
#include "json.h"
#include "soapSinbaEventiSoap11Proxy.h"
#include "soapSinbaEventiSoap12Proxy.h"

namespace {

// The day that is some days from today.
std::string day(int offset) {
    std::time_t at = std::time(nullptr) + offset * 86400;
    char text[11];
    std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&at));
    return text;
}

// Finds the typed detail of a fault: gSOAP has it in another place for each SOAP version.
sinba__ErroreSinbaType *erroreSinba(struct soap *soap) {
    if (!soap->fault) return nullptr;
    SOAP_ENV__Detail *detail = soap->fault->detail ? soap->fault->detail : soap->fault->SOAP_ENV__Detail;
    return detail ? detail->sinba__ErroreSinba : nullptr;
}

// Calls the service step by step and tells what came back.
template <class Proxy> class Vendor {
  public:
    // Without SOAP_C_UTFSTRING every byte of a std::string is taken for a Latin-1 letter.
    Vendor(const std::string &user, const std::string &password)
        : user(user), password(password), soap(soap_new1(SOAP_C_UTFSTRING)), proxy(soap) {}

    void run();

  private:
    template <class Request, class Answer>
    void step(const char *name, const char *operation, int (Proxy::*call)(Request *, Answer &), Request *request, Answer &answer) {
        // gSOAP forgets the credential with every call.
        soap->userid = user.c_str();
        soap->passwd = password.c_str();
        int error = (proxy.*call)(request, answer);
        sinba__ErroreSinbaType *errore = error ? erroreSinba(soap) : nullptr;
        std::cout << "{\"step\":" << quoted(name) << ",\"operation\":" << quoted(operation);
        if (!error) {
            std::cout << ",\"answer\":" << json(soap, answer);
        } else if (errore) {
            std::cout << ",\"fault\":" << json(soap, *errore);
        } else if (error >= 400 && error < 600) {
            std::cout << ",\"status\":" << error;
        } else {
            soap_stream_fault(soap, std::cerr);
            exit(1);
        }
        std::cout << "}" << std::endl;
    }

    void send(const char *name, sinba__MessaggioEventoType *event, sinba__RicevutaEventoType &receipt) {
        step(name, "inviaEvento", &Proxy::inviaEvento, event, receipt);
    }

    void refusals();

    std::string user, password;
    struct soap *soap;
    Proxy proxy;
};

template <class Proxy> void Vendor<Proxy>::run() {
    sinba__EchoType ping;
    ping.versione = optional(soap, "1.0");
    ping.Messaggio = optional(soap, "Però, l'eco c'è: €");
    sinba__StatoServizioType pong;
    step("echo", "echo", &Proxy::echo, &ping, pong);

    sinba__MessaggioEventoType *event = newEvent(soap);
    sinba__RapportoVerificaType report;
    step("verify", "verificaEvento", &Proxy::verificaEvento, event, report);
    sinba__RicevutaEventoType receipt, again;
    send("send", event, receipt);

    // An honest retry: another IdMessaggio and DataOraInvio, everything else the same.
    event->Testata->IdMessaggio = newUuid();
    event->Testata->DataOraInvio = time(nullptr);
    send("retry", event, again);

    sinba__RichiestaStatoType which;
    which.CodiceEnte = optional(soap, "SDS-PI");
    which.__union_RichiestaStatoType = SOAP_UNION__sinba__union_RichiestaStatoType_IdRicevuta;
    which.union_RichiestaStatoType.IdRicevuta = optional(soap, receipt.IdRicevuta);
    sinba__StatoEventoType state;
    step("state-by-receipt", "statoEvento", &Proxy::statoEvento, &which, state);
    which.CodiceEnte = nullptr;
    which.__union_RichiestaStatoType = SOAP_UNION__sinba__union_RichiestaStatoType_IdEvento;
    which.union_RichiestaStatoType.IdEvento = optional(soap, receipt.IdEvento);
    step("state-by-event", "statoEvento", &Proxy::statoEvento, &which, state);

    event->Testata->ProgressivoCartella = 8;
    send("other-content", event, again);
    refusals();

    sinba__LottoType lot;
    lot.versione = optional(soap, "1.0");
    lot.IdLotto = newUuid();
    sinba__MessaggioEventoType *bad = newEvent(soap);
    bad->Soggetto->Identificativo->union_IdentificativoPersonaType.CodiceFiscale = optional(soap, "DNGZCL12E49G702A");
    lot.Evento = {newEvent(soap), bad};
    sinba__EsitoLottoType outcomes;
    step("lot", "inviaLotto", &Proxy::inviaLotto, &lot, outcomes);
    sinba__RichiestaRiepilogoType month;
    month.CodiceEnte = "SDS-PI";
    month.Dal = day(-7);
    month.Al = day(1);
    sinba__RiepilogoEventiType summary;
    step("summary", "riepilogoEventi", &Proxy::riepilogoEventi, &month, summary);

    password = "another password";
    step("wrong-password", "echo", &Proxy::echo, &ping, pong);
}

template <class Proxy> void Vendor<Proxy>::refusals() {
    sinba__RicevutaEventoType receipt;
    sinba__RapportoVerificaType report;
    sinba__MessaggioEventoType *warned = newEvent(soap);
    warned->Soggetto->Anagrafica->DataNascita = "2012-05-08";
    send("warned", warned, receipt);

    sinba__MessaggioEventoType *bad = newEvent(soap);
    bad->Testata->IdMessaggio = "0001234";
    bad->Testata->ProgressivoCartella = 0;
    std::string &name = bad->Mittente->Ente->Denominazione = "";
    for (int i = 0; i < 101; i++) name += "à";
    bad->Mittente->Ente->CodiceZona = "Z 15";
    bad->Soggetto->Anagrafica->Residenza->CAP = optional(soap, "5612");
    bad->Dettaglio->union_DettaglioType.Fotografia->Intervento[1]->ImportoMensile = optional(soap, "-1");
    step("verify-schema", "verificaEvento", &Proxy::verificaEvento, bad, report);
    send("schema", bad, receipt);

    bad = newEvent(soap);
    bad->Testata->TipoEvento = sinba__codTipoEvento__INTERVENTO;
    bad->Soggetto->IdAssistitoLocale = "DNGZCL12E49G702K";
    bad->Soggetto->Identificativo->union_IdentificativoPersonaType.CodiceFiscale = optional(soap, "DNGZCL12E49G702A");
    bad->Cartella->DataApertura = "2011-09-10";
    send("rules", bad, receipt);
}

} // namespace

int main(int argc, char **argv) {
    if (argc == 4) return history(argv[1], argv[2], argv[3]);
    if (argc != 5) return 2;
    std::string version = argv[2], password;
    std::ifstream file(argv[4]);
    std::getline(file, password);
    if (version == "SOAP12")
        Vendor<SinbaEventiSoap12Proxy>(argv[3], password).run();
    else
        Vendor<SinbaEventiSoap11Proxy>(argv[3], password).run();
    return 0;
}
