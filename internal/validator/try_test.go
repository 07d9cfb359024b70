package validator_test
import ("testing";"os";"path/filepath";"fmt";"context";"time";"sync";"sync/atomic"
"go.uber.org/zap"
"github.com/sinbahub/sinbahub/internal/validator")
func TestTry(t *testing.T){
 x,_:=os.ReadFile("../../xsd/sinba-eventi-v1.xsd")
 lg,_:=zap.NewDevelopment()
 p,err:=validator.New(validator.Config{Logger:lg,Schemas:map[validator.Schema]validator.SchemaFiles{validator.SinbaEventi:{Main:"sinba-eventi-v1.xsd",Files:map[string][]byte{"sinba-eventi-v1.xsd":x}}}})
 if err!=nil{t.Fatal(err)}
 t0:=time.Now()
 if err:=p.Start(context.Background());err!=nil{t.Fatal(err)}
 fmt.Println("start",time.Since(t0))
 m,_:=filepath.Glob("../../pkg/xmlschema/testdata/esempi/*.xml")
 var docs [][]byte
 for _,f:=range m{ b,_:=os.ReadFile(f)
  e:=`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header><a xmlns="x"/></s:Header><s:Body>`+string(b)+`</s:Body></s:Envelope>`
  docs=append(docs,[]byte(e))
  r,err:=p.Validate(t.Context(),validator.SinbaEventi,validator.Envelope,[]byte(e))
  fmt.Println(f,r.SOAP,r.Root,len(b),len(r.Payload),err,r.Violations)
 }
 t0=time.Now()
 var wg sync.WaitGroup
 var n atomic.Int64
 for range 64 { wg.Go(func(){ for i:=range 1000 { r,err:=p.Validate(t.Context(),validator.SinbaEventi,validator.Envelope,docs[i%len(docs)]); if err!=nil||r.Payload==nil {t.Error(err)}; n.Add(1)} }) }
 wg.Wait()
 fmt.Println(n.Load(), float64(n.Load())/time.Since(t0).Seconds(),"docs/s")
 p.Close()
}
