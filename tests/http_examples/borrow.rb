# Borrows a floating license with net/http, as the API's documentation does; only Date and Authorization are added.

require "json"
require "net/http"
require "openssl"
require "time"
require "uri"

date = Time.now.httpdate
mac = OpenSSL::HMAC.digest("SHA256", ENV.fetch("FLOATLEASE_SHARED_KEY"), "licenseSpring\ndate: #{date}")
signature = [mac].pack("m0")

url = URI("#{ENV.fetch("FLOATLEASE_BASE_URL")}/floating/borrow")
http = Net::HTTP.new(url.host, url.port)
http.use_ssl = url.scheme == "https"
request = Net::HTTP::Post.new(url)
request["Accept"] = "application/json"
request["Content-Type"] = "application/json"
request["Date"] = date
request["Authorization"] =
  %(algorithm="hmac-sha256", headers="date", signature="#{signature}", apikey="#{ENV.fetch("FLOATLEASE_API_KEY")}")
request.body = JSON.dump({
  hardware_id: ENV.fetch("FLOATLEASE_HARDWARE_ID"),
  product: ENV.fetch("FLOATLEASE_PRODUCT"),
  license_key: ENV.fetch("FLOATLEASE_LICENSE_KEY"),
  borrowed_until: nil
})

response = http.request(request)
puts response.read_body
exit response.code == "200"
