import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.VerificationsApi;
import org.openapitools.client.model.Consume;
import org.openapitools.client.model.Create;
import org.openapitools.client.model.Problem;
import org.openapitools.client.model.Verification;

/** Program of a Java user with the client that openapi-generator makes (library native). */
public class Journey {
    public static void main(String[] given) throws Exception {
        String url = given[0], key = given[1], phoneNumber = given[2], reference = given[3];
        ApiClient client = new ApiClient();
        client.updateBaseUri(url);
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + key));
        VerificationsApi verifications = new VerificationsApi(client);

        Create asked = new Create().phoneNumber(phoneNumber).purpose("login").reference(reference);
        Verification made = verifications.create(asked, reference);
        System.out.println(made.getStatus() + " " + made.getCall().getNumber());

        Verification found = verifications.read(made.getId(), 30, null);
        System.out.println(found.getStatus() + " " + found.getReason());

        Consume proof = new Consume().purpose("login").reference(reference);
        System.out.println(verifications.consume(made.getId(), proof, null).getStatus());
        try {
            verifications.consume(made.getId(), proof, null);
        } catch (ApiException error) {
            Problem problem = client.getObjectMapper().readValue(error.getResponseBody(), Problem.class);
            System.out.println(problem.getStatus() + " " + problem.getCode());
        }
    }
}
