// Program of a Go user with the client that oapi-codegen makes.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"journey/client"
)

func main() {
	url, key, phoneNumber, reference := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	withKey := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+key)
		return nil
	}
	api, err := client.NewClientWithResponses(url, client.WithRequestEditorFn(withKey))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	asked := client.Create{PhoneNumber: phoneNumber, Purpose: "login", Reference: &reference}
	made, err := api.CreateWithResponse(ctx, &client.CreateParams{IdempotencyKey: &reference}, asked)
	if err != nil || made.JSON201 == nil {
		log.Fatal(err, made)
	}
	fmt.Println(made.JSON201.Status, made.JSON201.Call.Number)

	wait := 30
	found, err := api.ReadWithResponse(ctx, made.JSON201.Id, &client.ReadParams{Wait: &wait})
	if err != nil || found.JSON200 == nil {
		log.Fatal(err, found)
	}
	fmt.Println(found.JSON200.Status, *found.JSON200.Reason)

	proof := client.Consume{Purpose: "login", Reference: &reference}
	consumed, err := api.ConsumeWithResponse(ctx, made.JSON201.Id, nil, proof)
	if err != nil || consumed.JSON200 == nil {
		log.Fatal(err, consumed)
	}
	fmt.Println(consumed.JSON200.Status)
	again, err := api.ConsumeWithResponse(ctx, made.JSON201.Id, nil, proof)
	if err != nil || again.ApplicationproblemJSON409 == nil {
		log.Fatal(err, again)
	}
	fmt.Println(again.ApplicationproblemJSON409.Status, again.ApplicationproblemJSON409.Code)
}
