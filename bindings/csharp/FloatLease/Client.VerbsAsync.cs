using System.Threading;
using System.Threading.Tasks;

namespace FloatLease
{
    /// <content>The verbs that are performed in the background.</content>
    public sealed partial class Client
    {
        /// <summary>
        /// Makes this device known to the license in the background. It takes no slot. Call it once on each machine,
        /// before all other operations.
        /// </summary>
        public async Task<LicenseReply> ActivateLicenseAsync(
            ActivationRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new LicenseReply(await AskAsync("activate_license", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Asks the server about the license in the background. On a floating license this takes this device's slot, or
        /// renews it.
        /// </summary>
        public async Task<LicenseReply> CheckLicenseAsync(
            CheckRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new LicenseReply(await AskAsync("check_license", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Makes the license forget this device in the background. The server frees all its slots, borrowed ones too.
        /// </summary>
        public async Task<EmptyReply> DeactivateLicenseAsync(
            DeactivationRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new EmptyReply(await AskAsync("deactivate_license", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Borrows the license in the background: its slot is this device's until a date, with or without a network. It
        /// takes a slot if the device holds none.
        /// </summary>
        public async Task<BorrowReply> BorrowLicenseAsync(
            BorrowRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new BorrowReply(await AskAsync("borrow_license", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>Gives the license's slot back in the background, borrowed or not.</summary>
        public async Task<EmptyReply> ReleaseLicenseAsync(
            Request request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new EmptyReply(await AskAsync("release_license", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Asks the server about a feature in the background. If the feature floats, this takes this device's slot of
        /// it, or renews it.
        /// </summary>
        public async Task<FeatureReply> CheckFeatureAsync(
            FeatureRequest request, CancellationToken cancellation = default(CancellationToken))
        {
            return new FeatureReply(await AskAsync("check_feature", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Borrows a feature in the background whose slot this device holds already. <see cref="CheckFeatureAsync"/>
        /// takes the slot.
        /// </summary>
        public async Task<BorrowReply> BorrowFeatureAsync(
            BorrowRequest request, CancellationToken cancellation = default(CancellationToken))
        {
            return new BorrowReply(await AskAsync("borrow_feature", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>Gives a feature's slot back in the background, borrowed or not.</summary>
        public async Task<EmptyReply> ReleaseFeatureAsync(
            FeatureRequest request, CancellationToken cancellation = default(CancellationToken))
        {
            return new EmptyReply(await AskAsync("release_feature", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Books consumptions on a license of type consumption in the background: all of them or none.
        /// </summary>
        public async Task<ConsumptionReply> AddConsumptionAsync(
            ConsumptionRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new ConsumptionReply(await AskAsync("add_consumption", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>Books consumptions on a feature that counts in the background: all of them or none.</summary>
        public async Task<ConsumptionReply> AddFeatureConsumptionAsync(
            ConsumptionRequest request, CancellationToken cancellation = default(CancellationToken))
        {
            return new ConsumptionReply(await AskAsync("add_feature_consumption", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Asks the server about the product in the background: its names, its trials, its latest version.
        /// </summary>
        public async Task<ProductReply> ProductDetailsAsync(
            ProductRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new ProductReply(await AskAsync("product_details", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Gives this device a trial of the product in the background, or returns the one that it has. The reply names
        /// the license.
        /// </summary>
        public async Task<TrialReply> TrialKeyAsync(
            TrialRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new TrialReply(await AskAsync("trial_key", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Lists the versions of the product in the background that the license includes, the newest first.
        /// </summary>
        public async Task<VersionsReply> VersionsAsync(
            VersionsRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new VersionsReply(await AskAsync("versions", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>Tells in the background where the file of a version is, by default of the newest.</summary>
        public async Task<InstallationFileReply> InstallationFileAsync(
            InstallationFileRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            string reply = await AskAsync("installation_file", request, cancellation).ConfigureAwait(false);
            return new InstallationFileReply(reply);
        }

        /// <summary>Lists the licenses in the background that are active on this device.</summary>
        public async Task<LicensesReply> DeviceLicensesAsync(
            Request request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new LicensesReply(await AskAsync("device_licenses", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>Lists the values in the background that the server keeps for this device.</summary>
        public async Task<DeviceVariablesReply> GetDeviceVariablesAsync(
            Request request = null, CancellationToken cancellation = default(CancellationToken))
        {
            string reply = await AskAsync("get_device_variables", request, cancellation).ConfigureAwait(false);
            return new DeviceVariablesReply(reply);
        }

        /// <summary>Keeps values for this device at the server in the background, and returns them.</summary>
        public async Task<DeviceVariablesReply> TrackDeviceVariablesAsync(
            DeviceVariablesRequest request, CancellationToken cancellation = default(CancellationToken))
        {
            string reply = await AskAsync("track_device_variables", request, cancellation).ConfigureAwait(false);
            return new DeviceVariablesReply(reply);
        }

        /// <summary>
        /// Changes the password of the user in the background. The config of this client keeps the old one, so open a
        /// new client.
        /// </summary>
        public async Task<EmptyReply> ChangePasswordAsync(
            PasswordRequest request, CancellationToken cancellation = default(CancellationToken))
        {
            return new EmptyReply(await AskAsync("change_password", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Lists the licenses of the product in the background that the user may use. It needs no device and no
        /// activation.
        /// </summary>
        public async Task<UserLicensesReply> UserLicensesAsync(
            Request request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new UserLicensesReply(await AskAsync("user_licenses", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>Tells in the background where a user of a customer account signs in by single sign-on.</summary>
        public async Task<SsoUrlReply> SsoUrlAsync(
            SsoUrlRequest request, CancellationToken cancellation = default(CancellationToken))
        {
            return new SsoUrlReply(await AskAsync("sso_url", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Activates the licenses of a bundle on this device in the background.
        /// <see cref="Request.Product"/> names the bundle, if the config has no
        /// <see cref="LicenseIdentity.BundleCode"/>.
        /// </summary>
        public async Task<LicensesReply> ActivateBundleAsync(
            ActivationRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new LicensesReply(await AskAsync("activate_bundle", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Checks the licenses of a bundle in the background. It takes this device's slots of those that float, or
        /// renews them.
        /// </summary>
        public async Task<LicensesReply> CheckBundleAsync(
            CheckRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new LicensesReply(await AskAsync("check_bundle", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Makes the licenses of a bundle forget this device in the background. The server frees all its slots of them,
        /// borrowed ones too.
        /// </summary>
        public async Task<EmptyReply> DeactivateBundleAsync(
            DeactivationRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new EmptyReply(await AskAsync("deactivate_bundle", request, cancellation).ConfigureAwait(false));
        }

        /// <summary>
        /// Books the consumptions in the background that are queued because the server could not be reached.
        /// </summary>
        public async Task<SyncReply> SyncConsumptionsAsync(
            Request request = null, CancellationToken cancellation = default(CancellationToken))
        {
            return new SyncReply(await AskAsync("sync_consumptions", request, cancellation).ConfigureAwait(false));
        }
    }
}
